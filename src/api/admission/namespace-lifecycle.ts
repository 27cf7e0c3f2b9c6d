/**
 * NamespaceLifecycle: nothing is created in a namespace that does not exist or is going away, and the
 * system's namespaces can't be deleted.
 */
import { StatusError } from "#base/errors.ts";
import { objectKey } from "../registry.ts";
import type { ResourceRegistry } from "../registry.ts";
import type { WatchHub } from "../cache/watch-hub.ts";
import { forbiddenError, notFoundError } from "../status.ts";
import type { AdmissionPlugin } from "./admission.ts";

const immortal: ReadonlySet<string> = new Set(["default", "kube-system", "kube-public"]);
/** Reviews may be made about namespaces that do not exist. */
const exempt: ReadonlySet<string> = new Set(["localsubjectaccessreviews.authorization.k8s.io"]);

export function namespaceLifecycle(registry: ResourceRegistry, hub: WatchHub): AdmissionPlugin {
  return {
    name: "NamespaceLifecycle",
    async admit(request) {
      const { resource, operation } = request;
      const { group, plural } = resource.kind;
      if (group === "" && plural === "namespaces") {
        if (operation === "DELETE" && immortal.has(request.name)) {
          throw forbiddenError(resource.groupResource, request.name, "this namespace may not be deleted");
        }
        return;
      }
      if (operation !== "CREATE" || request.namespace === "" || exempt.has(`${plural}.${group}`)) return;
      const stored = registry.builtIn("", "namespaces").stored;
      if (stored === undefined) return;
      let entry = stored.cache.get(objectKey(stored, "", request.namespace));
      if (entry === undefined) {
        // It may have been created a moment ago through another server.
        await hub.waitForNewest();
        entry = stored.cache.get(objectKey(stored, "", request.namespace));
      }
      if (entry === undefined) throw notFoundError({ group: "", resource: "namespaces" }, request.namespace);
      if (!entry.item.includes('"deletionTimestamp"') && !entry.item.includes('"Terminating"')) return;
      const namespace = entry.decode();
      const phase = (namespace["status"] as { phase?: string } | undefined)?.phase;
      if (phase !== "Terminating" && namespace.metadata.deletionTimestamp === undefined) return;
      const why = `unable to create new content in namespace ${request.namespace} because it is being terminated`;
      const refusal = forbiddenError(resource.groupResource, request.name, why);
      throw new StatusError("Forbidden", refusal.message, {
        details: {
          ...refusal.details,
          causes: [
            {
              reason: "NamespaceTerminating",
              message: `namespace ${request.namespace} is being terminated`,
              field: "metadata.namespace",
            },
          ],
        },
      });
    },
  };
}
