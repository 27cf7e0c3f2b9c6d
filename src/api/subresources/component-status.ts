/** ComponentStatus, deprecated upstream and still asked for by `kubectl get cs`: the datastore's health. */
import type { ApiCore } from "../api-core.ts";
import { notFoundError } from "../status.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { MethodHandlers } from "./special.ts";

export const componentStatusHandlers: MethodHandlers = {
  async GET(core, request) {
    const components = componentsOf(core);
    if (request.info.parts.length > 1) {
      const found = components.find((each) => each.metadata.name === request.info.name);
      if (found === undefined) throw notFoundError(request.resource.groupResource, request.info.name);
      const object = { kind: "ComponentStatus", apiVersion: "v1", ...found };
      return { type: "object", status: 200, resource: request.resource, object };
    }
    const object = { kind: "ComponentStatusList", apiVersion: "v1", metadata: {}, items: components };
    return { type: "object", status: 200, resource: undefined, object };
  },
};

function componentsOf(core: ApiCore): KubeObject[] {
  const healthy = core.hub.isFeeding;
  return [
    {
      metadata: { name: "etcd-0", creationTimestamp: null },
      conditions: [
        {
          type: "Healthy",
          status: healthy ? "True" : "False",
          message: healthy ? "ok" : "the watch of the datastore is broken",
        },
      ],
    },
  ];
}
