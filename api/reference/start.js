"use strict";

// Everything is asked of this server: no address of another is in here, and the policy of the page
// forbids any.
const ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  supportedSubmitMethods: document.documentElement.dataset.methods.split(" "),
  // Keys and receipts are forgotten with the page, and the document is not sent to be validated.
  persistAuthorization: false,
  validatorUrl: null,
  requestInterceptor: withScheme,
});

// A receipt is copied from an answer without the word that has to stand before it in the header.
function withScheme(request) {
  const sent = request.headers.Authorization;
  if (sent && !/^(bearer|receipt|basic) /i.test(sent)) {
    request.headers.Authorization = `Receipt ${sent.trim()}`;
  }
  return request;
}

// Swagger UI reads the fragment once; links within the page, the first one above all, come later.
addEventListener("hashchange", () => {
  ui.layoutActions.parseDeepLinkHash(location.hash);
  const [, tag, operation] = location.hash.split("/");
  const target = document.getElementById(`operations-${tag}-${operation}`);
  target?.scrollIntoView();
  target?.querySelector("button")?.focus({ preventScroll: true });
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", paint);
paint();
