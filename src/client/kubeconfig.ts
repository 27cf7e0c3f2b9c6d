/** Kubeconfig files (v1 Config, YAML or JSON): reads what a transport needs from one, and writes one. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parse, stringify } from "yaml";
import { FatalError } from "#base/errors.ts";
import type { HttpsTransportOptions } from "./https-transport.ts";

export interface Kubeconfig {
  transport: HttpsTransportOptions;
  server: string;
  /** Namespace of the context, "default" when it has none. */
  namespace: string;
  context: string;
  user: string;
}

interface Named<T> {
  name: string;
  cluster?: T;
  context?: T;
  user?: T;
}

interface ConfigFile {
  "current-context"?: string;
  clusters?: Named<Record<string, unknown>>[];
  contexts?: Named<{ cluster: string; user: string; namespace?: string }>[];
  users?: Named<Record<string, unknown>>[];
}

export function readKubeconfig(path: string, contextName?: string): Kubeconfig {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new FatalError("badDataDir", `the kubeconfig ${path} can't be read`, { cause: error });
  }
  return parseKubeconfig(text, dirname(resolve(path)), contextName);
}

/** `directory`: where relative file names in the configuration start. */
export function parseKubeconfig(text: string, directory: string, contextName?: string): Kubeconfig {
  const config = parse(text) as ConfigFile | null;
  const name = contextName ?? config?.["current-context"] ?? config?.contexts?.[0]?.name ?? "";
  const context = config?.contexts?.find((each) => each.name === name)?.context;
  if (context === undefined) throw new FatalError("badDataDir", `the kubeconfig has no context "${name}"`);
  const cluster = config?.clusters?.find((each) => each.name === context.cluster)?.cluster;
  if (cluster === undefined)
    throw new FatalError("badDataDir", `the kubeconfig has no cluster "${context.cluster}"`);
  const user = config?.users?.find((each) => each.name === context.user)?.user ?? {};
  const material = (of: Record<string, unknown>, field: string): Uint8Array | undefined => {
    const data = of[`${field}-data`];
    if (typeof data === "string" && data !== "") return Buffer.from(data, "base64");
    const file = of[field];
    return typeof file === "string" && file !== "" ? readFileSync(resolve(directory, file)) : undefined;
  };
  const ca = material(cluster, "certificate-authority");
  const cert = material(user, "client-certificate");
  const key = material(user, "client-key");
  const token = tokenOf(user, directory);
  const serverName = cluster["tls-server-name"];
  const server = typeof cluster["server"] === "string" ? cluster["server"] : "";
  return {
    transport: {
      endpoints: [server],
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(token === undefined ? {} : { token }),
      ...(typeof serverName === "string" ? { serverName } : {}),
      ...(cluster["insecure-skip-tls-verify"] === true ? { insecureSkipVerify: true } : {}),
    },
    server,
    namespace: context.namespace ?? "default",
    context: name,
    user: context.user,
  };
}

/** A kubeconfig with one cluster, one user and one context. */
export function formatKubeconfig(options: {
  name: string;
  user: string;
  server: string;
  ca?: string | Uint8Array;
  cert?: string | Uint8Array;
  key?: string | Uint8Array;
  token?: string;
}): string {
  const base64 = (value: string | Uint8Array): string => Buffer.from(value).toString("base64");
  const { name, user, server, ca, cert, key, token } = options;
  const context = `${user}@${name}`;
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name,
        cluster: { server, ...(ca === undefined ? {} : { "certificate-authority-data": base64(ca) }) },
      },
    ],
    contexts: [{ name: context, context: { cluster: name, user } }],
    "current-context": context,
    preferences: {},
    users: [
      {
        name: user,
        user: {
          ...(cert === undefined ? {} : { "client-certificate-data": base64(cert) }),
          ...(key === undefined ? {} : { "client-key-data": base64(key) }),
          ...(token === undefined ? {} : { token }),
        },
      },
    ],
  });
}

function tokenOf(user: Record<string, unknown>, directory: string): string | (() => string) | undefined {
  const file = user["tokenFile"];
  if (typeof file === "string" && file !== "")
    return () => readFileSync(resolve(directory, file), "utf8").trim();
  const token = user["token"];
  return typeof token === "string" && token !== "" ? token : undefined;
}
