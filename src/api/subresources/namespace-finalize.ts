/** PUT namespaces/finalize: changes spec.finalizers alone; without any left a terminating namespace goes. */
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
    checkNames(request, given);
    const finalizers = (given["spec"] as { finalizers?: string[] } | undefined)?.finalizers ?? [];
    return applyUpdate(core, request, options, {
      mayCreate: false,
      produce(live) {
        const object: KubeObject = live ?? given;
        const spec = { ...(object["spec"] as Record<string, unknown> | undefined) };
        if (finalizers.length === 0) delete spec["finalizers"];
        else spec["finalizers"] = finalizers;
        object["spec"] = spec;
        const { resourceVersion, uid } = given.metadata;
        if (resourceVersion === undefined) delete object.metadata.resourceVersion;
        else object.metadata.resourceVersion = resourceVersion;
        if (uid !== undefined) object.metadata.uid = uid;
        return object;
      },
    });
  },
};
