/** The strategy of CustomResourceDefinition: its kind, completed with what only this room knows. */
import type { AnyKind } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";
import { cloneJson } from "#api/patch/json.ts";
import { cleanupFinalizer } from "./definition.ts";
import type { CrdCondition, CustomResourceDefinition } from "./definition.ts";
import { withCondition } from "./plan-status.ts";
import { validateDefinition, validateDefinitionUpdate } from "./validate-definition.ts";

/** The built-in kind with defaults and validation of definitions. */
export function definitionKind(base: AnyKind): AnyKind {
  return {
    ...base,
    unconditionalUpdate: false,
    applyDefaults(object: KubeObject) {
      applyDefinitionDefaults(object as CustomResourceDefinition);
    },
    prepareCreate(object: KubeObject, context) {
      base.prepareCreate?.(object, context);
      const crd = object as CustomResourceDefinition;
      const storage = crd.spec?.versions?.find((each) => each.storage);
      crd.status = {
        conditions: null,
        acceptedNames: { plural: "", kind: "" },
        storedVersions: storage === undefined ? null : [storage.name],
      };
    },
    prepareUpdate(object: KubeObject, old: KubeObject, context) {
      base.prepareUpdate?.(object, old, context);
      const crd = object as CustomResourceDefinition;
      const storage = crd.spec?.versions?.find((each) => each.storage);
      const stored = crd.status?.storedVersions ?? [];
      if (storage !== undefined && crd.status !== undefined && !stored.includes(storage.name))
        crd.status = { ...crd.status, storedVersions: [...stored, storage.name] };
    },
    deletion: {
      ...base.deletion,
      prepareDelete(object: KubeObject, now: string) {
        const crd = object as CustomResourceDefinition;
        const finalizers = crd.metadata.finalizers ?? [];
        if (!finalizers.includes(cleanupFinalizer))
          crd.metadata.finalizers = [...finalizers, cleanupFinalizer];
        const terminating: CrdCondition = {
          type: "Terminating",
          status: "True",
          reason: "InstanceDeletionPending",
          message: "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        };
        crd.status = {
          ...crd.status,
          conditions: withCondition(crd.status?.conditions ?? [], terminating, now),
        };
      },
    },
    validate: (object: KubeObject) => validateDefinition(object as CustomResourceDefinition),
    validateUpdate: (object: KubeObject, old: KubeObject) =>
      validateDefinitionUpdate(object as CustomResourceDefinition, old as CustomResourceDefinition),
  };
}

/** A copy with defaults. */
export function withDefinitionDefaults(crd: CustomResourceDefinition): CustomResourceDefinition {
  const copy = cloneJson(crd);
  applyDefinitionDefaults(copy);
  return copy;
}

function applyDefinitionDefaults(crd: CustomResourceDefinition): void {
  const names = crd.spec?.names;
  if (names === undefined) return;
  if ((names.singular ?? "") === "" && (names.kind ?? "") !== "") names.singular = names.kind.toLowerCase();
  if ((names.listKind ?? "") === "" && (names.kind ?? "") !== "") names.listKind = `${names.kind}List`;
  crd.spec.conversion ??= { strategy: "None" };
  const service = crd.spec.conversion.webhook?.clientConfig?.service;
  if (service !== undefined) service.port ??= 443;
}
