/** What the registry is told about a definition: one resource per served version, over one storage. */
import type { AnyKind } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Schema } from "#kinds/schema.ts";
import { ConvertedEntries } from "#api/cache/converted-entries.ts";
import type { RemoteConversion } from "#api/cache/converted-entries.ts";
import { ObjectCodec } from "#api/cache/entry.ts";
import type { ResourceRegistry, VersionConversion } from "#api/registry.ts";
import { customKind } from "./custom-kind.ts";
import type { CustomKind } from "./custom-kind.ts";
import { applySchemaDefaults, decodeCustom } from "./decode-custom.ts";
import type { CustomResourceDefinition, CustomVersion } from "./definition.ts";

export interface ServedVersions {
  /** How objects are stored. */
  codec: ObjectCodec;
  resources: { kind: AnyKind; options: NonNullable<Parameters<ResourceRegistry["add"]>[1]> }[];
}

/** `remote` converts between versions; without it they differ in nothing but their names. */
export function servedVersions(
  crd: CustomResourceDefinition,
  storage: CustomVersion,
  remote: RemoteConversion | undefined,
): ServedVersions {
  const { group, versions } = crd.spec;
  const customs = versions.map((version) => ({ version, custom: customKind(crd, version) }));
  const stored = customKind(crd, storage);
  const others = remote === undefined ? [] : customs.filter(({ version }) => version.name !== storage.name);
  const codec = new ObjectCodec(stored.kind, {
    others: others.map(
      ({ custom }) => new ObjectCodec(custom.kind, { refresh: refreshOf(crd, custom.schema) }),
    ),
    refresh: refreshOf(crd, stored.schema),
  });
  const pruned =
    remote === undefined
      ? undefined
      : new PrunedConversion(
          remote,
          customs.map(({ custom }) => custom),
        );
  const conversionOf = (custom: CustomKind) => {
    if (pruned !== undefined)
      return { converted: new ConvertedEntries(pruned, new ObjectCodec(custom.kind), codec.apiVersion) };
    return custom.kind.version === storage.name
      ? {}
      : { conversion: relabelling(group, custom.kind.version, storage.name) };
  };
  const served = customs.filter(({ version }) => version.served);
  return {
    codec,
    resources: served.map(({ custom }) => ({
      kind: custom.kind,
      options: {
        custom: true,
        storage: stored.kind,
        schema: custom.schema,
        decode: (value) => custom.decode(value),
        ...conversionOf(custom),
      },
    })),
  };
}

/** What a webhook answers may have fields that the version's schema does not know. */
class PrunedConversion implements RemoteConversion {
  readonly #remote: RemoteConversion;
  readonly #customs: ReadonlyMap<string, CustomKind>;

  constructor(remote: RemoteConversion, customs: readonly CustomKind[]) {
    this.#remote = remote;
    this.#customs = new Map(customs.map((each) => [`${each.kind.group}/${each.kind.version}`, each]));
  }

  async convert(objects: readonly KubeObject[], apiVersion: string): Promise<KubeObject[]> {
    const custom = this.#customs.get(apiVersion);
    const converted = await this.#remote.convert(objects, apiVersion);
    if (custom === undefined) return converted;
    return converted.map(
      (each) => custom.decode(each as unknown as Record<string, unknown>).object as unknown as KubeObject,
    );
  }
}

/**
 * Objects that were stored before the schema last changed are pruned and get its defaults when they are
 * read. A definition that was never changed has no such objects.
 */
function refreshOf(
  { metadata }: CustomResourceDefinition,
  schema: Schema,
): ((object: KubeObject) => KubeObject) | undefined {
  if ((metadata.generation ?? 1) <= 1) return undefined;
  return (object) => {
    const { object: pruned } = decodeCustom(object as unknown as Record<string, unknown>, schema);
    applySchemaDefaults(pruned, schema);
    return pruned as unknown as KubeObject;
  };
}

/** The conversion "None": only the version's name changes. */
function relabelling(group: string, version: string, storage: string): VersionConversion {
  const label = (to: string) => (object: KubeObject) => {
    object.apiVersion = `${group}/${to}`;
    return object;
  };
  return { fromStorage: label(version), toStorage: label(storage) };
}
