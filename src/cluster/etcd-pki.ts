/**
 * The certificates of the etcd API. Its authority is one of its own: neither a certificate of the Kubernetes
 * API nor one of the replicas opens it, and its clients' open nothing else. The authority is kept in the datastore, so
 * that every node, also one that joins later, takes the same clients; files are for this node only.
 */
import { join } from "node:path";
import { assert } from "#base/assert.ts";
import type { Backend } from "#base/backend.ts";
import type { KeyAndCertificate } from "./certificates.ts";
import { belongTogether, covers, createAuthority, isDue, issue } from "./certificates.ts";
import { readIfThere, writePrivateFile } from "./files.ts";
import { leafDays } from "./pki.ts";

/** Where the authority is kept: beside the Kubernetes objects, out of the API's reach. */
const authorityKey = "/trivet/etcd-authority";
const authorityDays = 3650;

export interface EtcdPki {
  /** PEM of the authority that clients' certificates must be of. */
  authorityCertificate: string;
  server: KeyAndCertificate;
}

/**
 * Makes what is missing or near its end, and leaves `ca.crt`, `client.crt` and `client.key` in `directory` for
 * etcdctl. `hosts`: names and addresses under which clients reach this node.
 */
export async function ensureEtcdPki(
  backend: Backend,
  directory: string,
  hosts: string[],
  nowMs: number,
): Promise<EtcdPki> {
  const authority = await ensureAuthority(backend);
  async function leaf(
    name: string,
    commonName: string,
    names: string[],
    usages: ("server" | "client")[],
  ): Promise<KeyAndCertificate> {
    const certificate = readIfThere(join(directory, `${name}.crt`));
    const key = readIfThere(join(directory, `${name}.key`));
    if (
      certificate !== undefined &&
      key !== undefined &&
      covers(certificate, authority.certificate, names) &&
      !isDue(certificate, authority.certificate, nowMs) &&
      belongTogether({ key, certificate })
    )
      return { certificate, key };
    const issued = await issue(authority, { commonName, hosts: names, usages, validDays: leafDays }, nowMs);
    writePrivateFile(join(directory, `${name}.key`), issued.key);
    writePrivateFile(join(directory, `${name}.crt`), issued.certificate);
    return issued;
  }
  const server = await leaf("server", "trivet-etcd", hosts, ["server", "client"]);
  await leaf("client", "trivet-etcd-client", [], ["client"]);
  writePrivateFile(join(directory, "ca.crt"), authority.certificate);
  return { authorityCertificate: authority.certificate, server };
}

/** The first node to ask makes it; of two at once, one wins and both take what it made. */
async function ensureAuthority(backend: Backend): Promise<KeyAndCertificate> {
  const read = async (): Promise<KeyAndCertificate | undefined> => {
    const [kv] = (await backend.range({ key: authorityKey })).kvs;
    return kv === undefined
      ? undefined
      : (JSON.parse(Buffer.from(kv.value).toString("utf8")) as KeyAndCertificate);
  };
  const known = await read();
  if (known !== undefined) return known;
  const made = await createAuthority("trivet-etcd-ca", authorityDays);
  await backend.transact({
    compare: [{ key: authorityKey, target: "create", operator: "=", number: 0 }],
    success: [{ type: "put", key: authorityKey, value: Buffer.from(JSON.stringify(made)) }],
    failure: [],
  });
  const kept = await read();
  assert(kept !== undefined, "an authority that was put is there");
  return kept;
}
