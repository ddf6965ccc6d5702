// An identity provider for the tests: oidc-provider, with the keys, programs and people that the first argument names.
import Provider from "oidc-provider";

const { port, keys, clients, programs, people, life } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients,
  jwks: { keys },
  cookies: { keys: ["a key of the tests"] },
  claims: { openid: ["sub", ...new Set(Object.values(people).flatMap(Object.keys))] },
  conformIdTokenClaims: false, // the claims are in the ID token, too
  extraTokenClaims: (_, token) => programs[token.clientId],
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...people[id] }) }),
  // whoever signs in to the console has agreed to it
  async loadExistingGrant({ oidc }) {
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope("openid profile email");
    await grant.save();
    return grant;
  },
  ttl: { ClientCredentials: life, IdToken: life },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, resource) => ({
        scope: "",
        audience: new URL(resource).hostname,
        accessTokenFormat: "jwt",
        accessTokenTTL: life,
      }),
    },
  },
});
provider.listen(port, "127.0.0.1");
