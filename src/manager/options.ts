/** What the manager is told. */
import type { Leadership } from "#base/backend.ts";
import type { Clock, Logger, Random } from "#base/ports.ts";
import type { CertificateSubject, ExpressionWarning } from "#controllers/controller.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { ApiClient } from "#client/types.ts";

export interface ManagerOptions {
  client: ApiClient;
  /** `Backend.onLeadership`. */
  onLeadership: (callback: (leadership: Leadership) => void) => () => void;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** Who leads, as the leases of upstream's leaders tell it. */
  nodeName: string;
  /** Node blocks of /24 are cut from it, for example "10.42.0.0/16". */
  clusterCidr: string;
  serviceCidr: string;
  /** Inclusive. Default 30000 to 32767. */
  nodePorts?: { first: number; last: number };
  /** PEM of the cluster's certificate authority, published in every namespace. */
  rootCa: string;
  /**
   * What the replica knows of a node: false when its replica does not answer. Undefined for nodes
   * without replica. Makes dead control-plane nodes NotReady sooner than their lease does.
   */
  isPeerAlive?: (nodeName: string) => boolean | undefined;
  /** What is wrong with the types of a policy's expressions, as far as the API knows them. Absent: not checked. */
  checkPolicyTypes?: (policy: KubeObject) => readonly ExpressionWarning[];
  /** The authority behind the built-in signers of certificate requests. Absent: nothing is signed. */
  certificates?: CertificateSigner;
}

export interface CertificateSigner {
  /** What a PKCS #10 request (PEM) asks for. Rejects when it is none. */
  read(pem: string): Promise<CertificateSubject>;
  /** A certificate (PEM) with the subject and the alternative names of the request. */
  sign(request: { pem: string; usages: readonly string[]; validSeconds: number }): Promise<string>;
}
