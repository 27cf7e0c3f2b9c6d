/**
 * ServiceAccount: every pod runs as an account that exists, and gets a projected volume with its token,
 * the cluster's authority and its namespace, unless pod or account say no.
 */
import type { Random } from "#base/ports.ts";
import type { KubeObject } from "#kinds/object.ts";
import { randomSuffix } from "../api-core.ts";
import type { WatchHub } from "../cache/watch-hub.ts";
import { objectKey } from "../registry.ts";
import type { ResourceRegistry } from "../registry.ts";
import { forbiddenError } from "../status.ts";
import type { AdmissionPlugin } from "./admission.ts";

interface Container {
  volumeMounts?: { name: string; mountPath: string; readOnly?: boolean }[];
}

interface PodSpec {
  serviceAccountName?: string;
  serviceAccount?: string;
  automountServiceAccountToken?: boolean;
  imagePullSecrets?: { name: string }[];
  volumes?: { name: string; projected?: { sources?: { serviceAccountToken?: unknown }[] } }[];
  containers?: Container[];
  initContainers?: Container[];
}

interface ServiceAccountObject extends KubeObject {
  automountServiceAccountToken?: boolean;
  imagePullSecrets?: { name: string }[];
}

const mountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const tokenSeconds = 3607;
const mirrorAnnotation = "kubernetes.io/config.mirror";

export function serviceAccount(registry: ResourceRegistry, hub: WatchHub, random: Random): AdmissionPlugin {
  async function findAccount(namespace: string, name: string): Promise<ServiceAccountObject | undefined> {
    const stored = registry.builtIn("", "serviceaccounts").stored;
    if (stored === undefined) return undefined;
    const key = objectKey(stored, namespace, name);
    let entry = stored.cache.get(key);
    if (entry === undefined) {
      await hub.waitForNewest();
      entry = stored.cache.get(key);
    }
    return entry?.decode() as ServiceAccountObject | undefined;
  }
  return {
    name: "ServiceAccount",
    async admit(request) {
      const { resource, object } = request;
      if (resource.kind.group !== "" || resource.kind.plural !== "pods") return;
      if (request.operation !== "CREATE" || request.subresource !== "" || object === undefined) return;
      // A mirror pod stands for one that a node runs by itself.
      if (object.metadata.annotations?.[mirrorAnnotation] !== undefined) return;
      const spec = (object["spec"] ??= {}) as PodSpec;
      if ((spec.serviceAccountName ?? "") === "") spec.serviceAccountName = "default";
      const name = spec.serviceAccountName ?? "default";
      spec.serviceAccount = name;
      const account = await findAccount(request.namespace, name);
      if (account === undefined) {
        throw forbiddenError(
          resource.groupResource,
          request.name,
          `error looking up service account ${request.namespace}/${name}: serviceaccount ${JSON.stringify(name)} not found`,
        );
      }
      const mounts = spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
      if (mounts) mountToken(spec, random);
      if ((spec.imagePullSecrets ?? []).length === 0 && (account.imagePullSecrets ?? []).length > 0) {
        spec.imagePullSecrets = structuredClone(account.imagePullSecrets ?? []);
      }
    },
  };
}

function mountToken(spec: PodSpec, random: Random): void {
  const containers = [...(spec.initContainers ?? []), ...(spec.containers ?? [])];
  const without = containers.filter(
    (each) => !(each.volumeMounts ?? []).some((mount) => mount.mountPath === mountPath),
  );
  if (without.length === 0) return;
  const known = (spec.volumes ?? []).find((each) => each.name.startsWith("kube-api-access-"));
  const volumeName = known?.name ?? `kube-api-access-${randomSuffix(random)}`;
  for (const each of without) {
    each.volumeMounts = [...(each.volumeMounts ?? []), { name: volumeName, readOnly: true, mountPath }];
  }
  if (known === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(volumeName)];
}

function tokenVolume(name: string): { name: string; projected: { sources: object[]; defaultMode: number } } {
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        {
          downwardAPI: {
            items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }],
          },
        },
      ],
      defaultMode: 420,
    },
  };
}
