/** What `createApiServer` is given. Everything that reaches outside is injected. */
import type { Socket } from "node:net";
import type { Backend } from "#base/backend.ts";
import type { HttpRoute, HttpUser } from "#base/http.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import type { AnyKind } from "#kinds/kind.ts";
import type { TokenAuthenticator } from "./auth/authenticate.ts";
import type { ServiceAccountKeys } from "./auth/service-account-tokens.ts";

/** How to reach the agent of a node, for logs, exec, attach, port-forward and proxying. */
export interface AgentDialer {
  /** Opens a connection on which HTTP/1.1 can be spoken with the node's agent. `host` is for the Host header. */
  dial(node: { name: string; address: string; port: number }): Promise<{ socket: Socket; host: string }>;
}

export interface ApiServerOptions {
  backend: Backend;
  kinds: readonly AnyKind[];
  clock: Clock;
  random: Random;
  logger: Logger;
  serviceAccounts: ServiceAccountKeys;
  /** IPv4 range of ClusterIPs, for example "10.43.0.0/16". Its first address is the `kubernetes` Service's. */
  serviceCidr: string;
  /** First and last node port, inclusive. Default 30000 to 32767. */
  nodePorts?: { first: number; last: number };
  /** Where other machines reach this API server: the endpoint of the `kubernetes` Service. Absent: the listener's own. */
  advertise?: { address: string; port: number };
  /** Further bearer tokens: join tokens, bootstrap tokens. */
  authenticateToken?: TokenAuthenticator;
  /** The first routes, such as the cluster's management; more may come with `ApiServer.addRoute`. */
  extraRoutes?: readonly HttpRoute[];
  /** Default: none, and what needs an agent answers that it can't be reached. */
  agentDialer?: AgentDialer;
  /** Who the server itself is when it writes. */
  ownUser?: HttpUser;
  /** Default 400 reads and 200 writes at once, upstream's numbers. */
  maxInFlight?: { reading: number; writing: number };
  /** What else `/metrics` tells, in Prometheus' text format: the datastore's numbers. */
  moreMetrics?: () => Promise<string>;
  /** Create namespaces, roles, priority classes and the `kubernetes` Service at start. Default true. */
  bootstrap?: boolean;
}

export interface ListenOptions {
  host: string;
  port: number;
  /** PEM. */
  cert: string;
  key: string;
  /** PEM of the authority whose client certificates are identities. */
  clientCa: string;
}
