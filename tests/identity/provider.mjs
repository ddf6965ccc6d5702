// An identity provider for the tests: oidc-provider, with the keys and programs that the first argument names.
import Provider from "oidc-provider";

const { port, keys, clients, programs, life } = JSON.parse(process.argv[2]);
const issuer = `http://127.0.0.1:${port}`;
const provider = new Provider(issuer, {
  clients,
  jwks: { keys },
  cookies: { keys: ["a key of the tests"] },
  extraTokenClaims: (_, token) => programs[token.clientId],
  ttl: { ClientCredentials: life },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
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
