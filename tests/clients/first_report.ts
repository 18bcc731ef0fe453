// The README's first report by openapi-fetch, with the types that openapi-typescript makes.

import createClient from "openapi-fetch";
import type { components, paths } from "./waylight.js";

declare const process: { argv: string[] };

type Report = components["schemas"]["ReportIn"];

const baseUrl = process.argv[2] ?? "";
const client = createClient<paths>({ baseUrl });

// What was asked for; an error is the problem of RFC 9457, with its stable code.
function wanted<T>({ data, error }: { data?: T; error?: components["schemas"]["Problem"] }): T {
  if (data === undefined) throw new Error(error?.code ?? "no answer");
  return data;
}

const report: Report = { in_danger: true, location: { stop_id: "940GZZLUCTN" } };
const answer = wanted(await client.POST("/v1/reports", { body: report }));

const mine = wanted(
  await client.GET("/v1/reports/mine", { headers: { Authorization: `Receipt ${answer.receipt}` } }),
);

if (!answer.location.point) throw new Error("a stop has a position");
const [lon, lat] = answer.location.point.coordinates;
const nearest = wanted(
  await client.GET("/v1/hubs/nearest", {
    params: { query: { lat, lon, open_now: false, limit: 3 } },
  }),
);

console.log(
  JSON.stringify({
    sent: report,
    status: answer.status,
    told: answer.routed_to.map((chosen) => chosen.role),
    same_report: mine.id === answer.id,
    timeline: mine.timeline.map((entry) => entry.code),
    nearest: nearest.items.map((hub) => hub.id),
  }),
);
