// What Spectral asks of openapi.yaml: its own rules and those of OWASP. A rule that is off or
// narrowed has its reason beside it.

import owasp from "@stoplight/spectral-owasp-ruleset";
import { oas } from "@stoplight/spectral-rulesets";

// Schemas of what callers send, by type. Headers have one limit for all, in gunicorn.conf.py.
const sent = (type) => {
  const several = `@.type.constructor.name === 'Array' && @.type.includes('${type}')`;
  const ofType = `?(@ && @.type && (@.type === '${type}' || (${several})))`;
  return [
    `$..parameters[?(@.in !== 'header')][${ofType}]`,
    `$.components.schemas[?(@property.match(/In$/))]..[${ofType}]`,
  ];
};

// A limit on an answer would be a promise that nothing enforces. What a caller can make us do is
// what is limited: the size of a body, and of a page by `limit`.
const ofWhatIsSent = (name, type) => ({ ...owasp.rules[name], given: sent(type) });

export default {
  extends: [
    [oas, "recommended"],
    [owasp, "recommended"],
  ],
  rules: {
    "owasp:api4:2023-string-limit": ofWhatIsSent("owasp:api4:2023-string-limit", "string"),
    "owasp:api4:2023-integer-limit": ofWhatIsSent("owasp:api4:2023-integer-limit", "integer"),

    // The lists that callers send are those of a report, and nothing in it is counted against
    // somebody in danger: a word said twice is taken once, and the body has its limit.
    "owasp:api4:2023-array-limit": "off",

    // Stories, names and the ids of other registers have no pattern. Those that have one say it.
    "owasp:api4:2023-string-restricted": "off",

    // Where nobody needs a key, a wrong one makes its caller nobody: such a call is never a 401.
    // tests/test_openapi.py: 401 is documented exactly where a key is needed.
    "owasp:api8:2023-define-error-responses-401": "off",

    // A call that reads no query and no body has nothing that could be invalid; one that does
    // documents its 400 and 422 by itself (api/wire/blueprint.py, `arguments`).
    "owasp:api8:2023-define-error-validation": "off",

    // Written for OpenAPI 3.0: since 3.1 a bearer key's scopes may be named. Redocly checks them.
    "oas3-operation-security-defined": "off",

    // Whoever runs a server is to be asked about it, and the code does not know them.
    "info-contact": "off",

    // A summary that says all is not said twice.
    "operation-description": "off",
  },
  overrides: [
    {
      // An EventSource sends no header. The ticket is the one secret in an address: it opens one
      // stream, once, within half a minute (design, section 5).
      files: ["**#/components/securitySchemes/streamTicket"],
      rules: { "owasp:api2:2023-no-api-keys-in-url": "off" },
    },
    {
      // How a client shows its secret to the token endpoint of OAuth 2, which every server has to
      // support (RFC 6749, section 2.3.1). Nothing else is opened by it.
      files: ["**#/components/securitySchemes/clientBasic"],
      rules: { "owasp:api2:2023-no-http-basic": "off" },
    },
    {
      // Never limited. Reports: somebody may be in danger, and a station's Wi-Fi is one address.
      // Probes: what asks whether we live must not be told that it asks too often.
      files: [
        "**#/paths/~1v1~1reports/post",
        "**#/paths/~1healthz/get",
        "**#/paths/~1readyz/get",
      ],
      rules: {
        "owasp:api4:2023-rate-limit": "off",
        "owasp:api4:2023-rate-limit-responses-429": "off",
      },
    },
  ],
};
