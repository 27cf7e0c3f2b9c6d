/** PUT namespaces/finalize: changes spec.finalizers and the metadata; without any left a terminating namespace goes. */
import type { KubeObject } from "#kinds/object.ts";
import { applyUpdate, checkNames, expectedKind } from "../rest/write.ts";
import { readWriteOptions } from "../rest/write-options.ts";
import { decodeObject } from "../wire/body.ts";
import type { MethodHandlers } from "./special.ts";

export const finalizeHandlers: MethodHandlers = {
  async PUT(core, request) {
    const options = readWriteOptions("UpdateOptions", request.http, request.query);
    const given = decodeObject(
      request.http,
      expectedKind(request.resource),
      options.fieldValidation,
      request.warnings,
    );
    request.resource.kind.applyDefaults?.(given);
    checkNames(request, given);
    const finalizers = (given["spec"] as { finalizers?: string[] } | undefined)?.finalizers ?? [];
    return applyUpdate(core, request, options, {
      mayCreate: false,
      produce(live) {
        const object: KubeObject = structuredClone(given);
        const spec = { ...(live?.["spec"] as Record<string, unknown> | undefined) };
        if (finalizers.length === 0) delete spec["finalizers"];
        else spec["finalizers"] = finalizers;
        object["spec"] = spec;
        object["status"] = live?.["status"];
        return object;
      },
    });
  },
};
