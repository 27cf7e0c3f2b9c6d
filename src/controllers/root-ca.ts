/** Every namespace has the cluster's root certificate in the ConfigMap kube-root-ca.crt. */
import { create, on, self, update } from "./controller.ts";
import type { Controller, Plan, View } from "./controller.ts";
import { equal } from "./equality.ts";
import { configMaps, namespaces } from "./kubernetes.ts";

const mapName = "kube-root-ca.crt";
const description =
  "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.";

/** `rootCa`: PEM. */
export function rootCaController(rootCa: string): Controller {
  return {
    name: "root-ca-certificate-publisher-controller",
    triggers: [
      on(namespaces, self),
      on(
        configMaps,
        (map) => [map.metadata.namespace ?? ""],
        (map, old) => (map ?? old)?.metadata.name === mapName,
      ),
    ],
    writes: [configMaps],
    plan: (view, key) => planRootCa(view, key, rootCa),
  };
}

function* planRootCa(view: View, key: string, rootCa: string): Plan {
  const namespace = view.get(namespaces, undefined, key);
  if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return;
  const data = { "ca.crt": rootCa };
  const found = view.get(configMaps, key, mapName);
  const annotations = { ...found?.metadata.annotations, "kubernetes.io/description": description };
  if (found === undefined) {
    yield* create(configMaps, {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: mapName, namespace: key, annotations },
      data,
    });
  } else if (!equal(found.data, data) || !equal(found.metadata.annotations, annotations)) {
    yield* update(configMaps, { ...found, metadata: { ...found.metadata, annotations }, data });
  }
}
