/**
 * The CNI configuration that containerd reads: the standard bridge, host-local and portmap plugins. Written
 * last, when bridge, overlay and rules stand, because its existence makes the node's network ready.
 */
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { overlay } from "./compile-overlay.ts";

export interface CniSettings {
  podCIDR: string;
  gatewayIP: string;
  mtu: number;
  /** Where host-local remembers which addresses are taken. */
  dataDir: string;
}

/** The network configuration list, by the CNI specification 1.0.0. */
export function cniConflist({ podCIDR, gatewayIP, mtu, dataDir }: CniSettings): object {
  return {
    cniVersion: "1.0.0",
    name: "trivet",
    plugins: [
      {
        type: "bridge",
        bridge: overlay.bridge,
        isGateway: true,
        hairpinMode: true,
        // Pod addresses are to be seen as they are across nodes; compile-rules.ts hides them where they leave the cluster.
        ipMasq: false,
        mtu,
        ipam: {
          type: "host-local",
          dataDir,
          ranges: [[{ subnet: podCIDR, gateway: gatewayIP }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true }, snat: true },
    ],
  };
}

/** Atomically; does nothing if the file is already so. */
export async function writeCniConfig(confDir: string, settings: CniSettings): Promise<void> {
  const path = join(confDir, "10-trivet.conflist");
  const text = `${JSON.stringify(cniConflist(settings), null, 2)}\n`;
  if ((await readFile(path, "utf8").catch(() => "")) === text) return;
  await mkdir(confDir, { recursive: true });
  await mkdir(settings.dataDir, { recursive: true });
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}
