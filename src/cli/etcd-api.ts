/** `--etcd-api`: where its value goes. */
import type { NodeIdentity } from "#cluster/identity.ts";
import { writeIdentity } from "#cluster/identity.ts";

const defaultEtcdApiPort = 12379;

/** The flag's port, the default one where it has none; undefined where the flag is absent. */
function etcdApiPort(flag: string | true | undefined): number | undefined {
  if (flag === undefined) return undefined;
  const port = flag === true ? defaultEtcdApiPort : Number(flag);
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new Error(`--etcd-api takes a port number from 1 to 65535, not "${flag}"`);
  return port;
}

/** As a part of a new cluster's settings. */
export function etcdSetting(flag: string | true | undefined): { etcdApiPort?: number } {
  const port = etcdApiPort(flag);
  return port === undefined ? {} : { etcdApiPort: port };
}

/** For a node that exists: remembers the port, for its next start. Returns what the node is then. */
export function rememberEtcdApi(
  dataDir: string,
  identity: NodeIdentity,
  flag: string | true | undefined,
): NodeIdentity {
  const port = etcdApiPort(flag);
  if (port === undefined || identity.settings.etcdApiPort === port) return identity;
  const changed = { ...identity, settings: { ...identity.settings, etcdApiPort: port } };
  writeIdentity(dataDir, changed);
  return changed;
}
