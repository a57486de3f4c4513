// An identity provider with two people: `node provider.mjs FOLDER`, where FOLDER/node_modules has oidc-provider.
// It listens on a free port of loopback, prints its issuer, and ends with its standard input.
// Tests change its people by POST /people/NAME with the claims as JSON; null removes the person.
import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";

const library = path.resolve(process.argv[2], "node_modules/oidc-provider/lib/index.js");
const { Provider } = await import(pathToFileURL(library).href);

const people = new Map(Object.entries({
  ada: { email: "ada@example.org", email_verified: true, preferred_username: "ada", groups: ["ml-team", "ml-leads"] },
  bob: { email: "bob@example.org", email_verified: true, preferred_username: "bob", groups: ["catering"] },
}));

const server = http.createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: "orchestune",
      client_secret: "a secret & a half+",
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      redirect_uris: ["http://127.0.0.1/sign-in/callback"],
      response_types: ["code"],
    }],
    cookies: { keys: ["a key of tests"] },
    claims: {
      openid: ["sub"], email: ["email", "email_verified"], profile: ["preferred_username"], groups: ["groups"],
    },
    features: { deviceFlow: { enabled: true }, revocation: { enabled: true } },
    findAccount: (_, id) => people.get(id) && {
      accountId: id, claims: () => ({ sub: id, ...people.get(id) }),
    },
    issueRefreshToken: (_, client) => client.grantTypeAllowed("refresh_token"),
    pkce: { required: () => true },
    rotateRefreshToken: true,
    scopes: ["openid", "offline_access"],
  });
  // the port of a test's server is a free one
  provider.Client.prototype.redirectUriAllowed = (uri) => /^http:\/\/127\.0\.0\.1:\d+\/sign-in\/callback$/.test(uri);
  const answer = provider.callback();
  server.on("request", async (request, response) => {
    if (!request.url.startsWith("/people/")) return answer(request, response);
    let body = "";
    for await (const part of request) body += part;
    const name = request.url.slice("/people/".length), claims = JSON.parse(body);
    claims ? people.set(name, claims) : people.delete(name);
    response.end();
  });
  console.log(issuer);
});
process.stdin.on("end", () => process.exit()).resume();
