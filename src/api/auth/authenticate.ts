/**
 * Who makes a request: a client certificate (verified by the listener), a bearer token (service account,
 * or whatever the composition accepts, such as join tokens), or nobody (anonymous).
 */
import type { HttpRequest, HttpUser } from "#base/http.ts";
import { unauthorizedError } from "../status.ts";
import type { ServiceAccountTokens } from "./service-account-tokens.ts";

/** What the listener knows of the connection. */
export interface Peer {
  /** From a client certificate that the client CA has signed. */
  certificateUser: HttpUser | undefined;
}

export type TokenAuthenticator = (token: string) => Promise<HttpUser | undefined>;

export const anonymousUser: HttpUser = { name: "system:anonymous", groups: ["system:unauthenticated"] };

export class Authenticator {
  readonly #tokens: ServiceAccountTokens;
  readonly #extra: TokenAuthenticator | undefined;

  constructor(tokens: ServiceAccountTokens, extra: TokenAuthenticator | undefined) {
    this.#tokens = tokens;
    this.#extra = extra;
  }

  /** Throws Unauthorized for credentials that are not good. */
  async authenticate(request: HttpRequest, peer: Peer | undefined): Promise<HttpUser> {
    if (request.user !== undefined) return withAuthenticated(request.user);
    if (peer?.certificateUser !== undefined) return withAuthenticated(peer.certificateUser);
    const token = bearerToken(request);
    if (token === undefined) return anonymousUser;
    const user = await this.userOfToken(token);
    if (user === undefined) throw unauthorizedError();
    return user;
  }

  async userOfToken(token: string): Promise<HttpUser | undefined> {
    const account = await this.#tokens.authenticate(token);
    if (account !== undefined) return account.user;
    const user = await this.#extra?.(token);
    return user === undefined ? undefined : withAuthenticated(user);
  }
}

/** From the Authorization header, or a WebSocket's subprotocol, which browsers use. */
function bearerToken(request: HttpRequest): string | undefined {
  const header = request.headers["authorization"];
  const match = header === undefined ? null : /^bearer +(\S+)\s*$/i.exec(header);
  if (match?.[1] !== undefined) return match[1];
  const protocols = request.headers["sec-websocket-protocol"]?.split(",") ?? [];
  const prefix = "base64url.bearer.authorization.k8s.io.";
  const encoded = protocols.map((each) => each.trim()).find((each) => each.startsWith(prefix));
  return encoded === undefined
    ? undefined
    : Buffer.from(encoded.slice(prefix.length), "base64url").toString("utf8");
}

function withAuthenticated(user: HttpUser): HttpUser {
  if (user.groups.includes("system:authenticated") || user.groups.includes("system:unauthenticated"))
    return user;
  return { ...user, groups: [...user.groups, "system:authenticated"] };
}
