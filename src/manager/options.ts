/** What the manager is told. */
import type { Leadership } from "#base/backend.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import type { ApiClient } from "#client/types.ts";

export interface ManagerOptions {
  client: ApiClient;
  /** `Backend.onLeadership`. */
  onLeadership: (callback: (leadership: Leadership) => void) => () => void;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** Node blocks of /24 are cut from it, for example "10.42.0.0/16". */
  clusterCidr: string;
  serviceCidr: string;
  /** PEM of the cluster's certificate authority, published in every namespace. */
  rootCa: string;
  /**
   * What the replica knows of a node: false when its replica does not answer. Undefined for nodes
   * without replica. Makes dead control-plane nodes NotReady sooner than their lease does.
   */
  isPeerAlive?: (nodeName: string) => boolean | undefined;
  /** Signs certificate requests of the signers in upstream's kube-controller-manager. PEM in, PEM out. */
  signCertificate?: (request: {
    pem: string;
    signerName: string;
    usages: readonly string[];
    username: string;
    expirationSeconds: number | undefined;
  }) => Promise<string>;
  /** Makes the token of a Secret of type kubernetes.io/service-account-token. */
  signServiceAccountToken?: (account: {
    namespace: string;
    name: string;
    uid: string;
    secretName: string;
    secretUid: string;
  }) => Promise<string>;
}
