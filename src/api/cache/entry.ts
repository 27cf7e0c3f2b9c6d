/**
 * One stored object as the API keeps it: its JSON bytes, ready to be sent, and the minimum that
 * selectors need. Stored bytes carry no resourceVersion (the store's own revision is the truth);
 * it is put in here, once, by copying bytes, without parsing.
 *
 * `item` is the object without kind and apiVersion, which is how built-in kinds appear in lists:
 * `{"metadata":{"name":"a","uid":"…","resourceVersion":"7",…},…}`.
 */
import type { KeyValue } from "#base/backend.ts";
import type { AnyKind } from "#kinds/kind.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { Labels } from "#kinds/label-selector.ts";

const metadataStart = '"metadata":{';

export interface CodecOptions {
  /** Other versions in which objects may be stored, and which are not this one under another name. */
  others?: readonly ObjectCodec[];
  /** What an earlier schema let through, brought into the form of the present one. */
  refresh?: ((object: KubeObject) => KubeObject) | undefined;
}

/** How one stored resource is written: the constant head of its bytes, and its selectable fields. */
export class ObjectCodec {
  readonly apiVersion: string;
  readonly kindName: string;
  /** `{"kind":"Pod","apiVersion":"v1",` */
  readonly head: Buffer;
  readonly headText: string;
  readonly fieldSelectors: NonNullable<AnyKind["fieldSelectors"]>;
  readonly #storedHead: Buffer;
  readonly #others: readonly ObjectCodec[];
  readonly #refresh: ((object: KubeObject) => KubeObject) | undefined;

  constructor(kind: AnyKind, options: CodecOptions = {}) {
    this.apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
    this.kindName = kind.kind;
    this.headText = `{"kind":${JSON.stringify(kind.kind)},"apiVersion":${JSON.stringify(this.apiVersion)},`;
    this.head = Buffer.from(this.headText);
    this.#storedHead = Buffer.from(this.headText + metadataStart);
    this.fieldSelectors = kind.fieldSelectors ?? {};
    this.#others = options.others ?? [];
    this.#refresh = options.refresh;
  }

  /** The codec of the version in which a value is stored. */
  of(value: Uint8Array): ObjectCodec {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return this.#others.find((each) => each.#wrote(bytes)) ?? this;
  }

  /** The codec that stores objects of this version as they are: this one unless versions differ. */
  withVersion(apiVersion: string | undefined): ObjectCodec {
    return this.#others.find((each) => each.apiVersion === apiVersion) ?? this;
  }

  #wrote(bytes: Buffer): boolean {
    const start = this.#storedHead.length;
    return (
      bytes.length > start &&
      bytes.compare(this.#storedHead, 0, start, 0, start) === 0 &&
      bytes[start] === 0x22
    );
  }

  /** The bytes to store. The object must have metadata with at least a name. */
  encode(object: KubeObject): Buffer {
    const { kind: _kind, apiVersion: _apiVersion, metadata, ...rest } = object;
    const { resourceVersion: _resourceVersion, ...meta } = metadata;
    // What stands before the resourceVersion, in upstream's order: `item` looks for its place there.
    const { name, generateName, namespace, uid, ...others } = meta;
    const tail = JSON.stringify({ metadata: { name, generateName, namespace, uid, ...others }, ...rest });
    return Buffer.from(this.headText + tail.slice(1));
  }

  /** The item bytes of a stored value. */
  item(value: Uint8Array, revision: number): Buffer {
    const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const isOurs = this.#refresh === undefined && this.#wrote(bytes);
    const rest = isOurs ? bytes.subarray(this.#storedHead.length) : this.#foreign(bytes);
    const at = endOfUid(rest);
    const opening = `{${metadataStart}`;
    const injected = at === 0 ? `"resourceVersion":"${revision}",` : `,"resourceVersion":"${revision}"`;
    // A piece of its own: one of the shared pool, kept for long, keeps the others' memory as well.
    const item = Buffer.allocUnsafeSlow(opening.length + injected.length + rest.length);
    item.write(opening, 0, "latin1");
    rest.copy(item, opening.length, 0, at);
    item.write(injected, opening.length + at, "latin1");
    rest.copy(item, opening.length + at + injected.length, at);
    return item;
  }

  /** The item of an object that is not stored (dry run): it has no resourceVersion. */
  itemWithoutRevision(value: Buffer): Buffer {
    return Buffer.concat([Buffer.from("{"), value.subarray(this.head.length)]);
  }

  /** Bytes in another order or version, or of an earlier schema. */
  #foreign(bytes: Buffer): Buffer {
    const object = JSON.parse(bytes.toString("utf8")) as KubeObject;
    return this.encode(this.#refresh?.(object) ?? object).subarray(this.#storedHead.length);
  }

  decode(item: Buffer): KubeObject {
    return JSON.parse(this.headText + item.toString("utf8", 1)) as KubeObject;
  }
}

const beforeUid = ["name", "generateName", "namespace"];

/** Where the uid's value ends in the bytes after `"metadata":{`, or 0 where it is not among the first members. */
function endOfUid(bytes: Buffer): number {
  for (let at = 0; bytes[at] === quote;) {
    const endOfKey = bytes.indexOf(quote, at + 1);
    if (endOfKey < 0 || bytes[endOfKey + 2] !== quote) return 0;
    const key = bytes.toString("latin1", at + 1, endOfKey);
    let end = endOfKey + 3;
    while (end < bytes.length && bytes[end] !== quote) end += bytes[end] === backslash ? 2 : 1;
    if (key === "uid") return end + 1;
    if (!beforeUid.includes(key)) return 0;
    at = end + 2;
  }
  return 0;
}

export class Entry {
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly revision: number;
  readonly item: Buffer;
  readonly codec: ObjectCodec;
  #fields: Record<string, string> | undefined;
  #labels: Labels;
  #knowsLabels = false;

  constructor(
    codec: ObjectCodec,
    place: { key: string; namespace: string; name: string },
    item: Buffer,
    revision: number,
  ) {
    this.codec = codec;
    this.key = place.key;
    this.namespace = place.namespace;
    this.name = place.name;
    this.revision = revision;
    this.item = item;
  }

  static fromKeyValue(codec: ObjectCodec, keyPrefix: string, kv: KeyValue): Entry {
    const own = codec.of(kv.value);
    return new Entry(own, placeOf(kv.key, keyPrefix), own.item(kv.value, kv.modRevision), kv.modRevision);
  }

  /** The same object as of a later revision: what a deletion shows. */
  atRevision(revision: number): Entry {
    const marker = '"resourceVersion":"';
    const start = this.item.indexOf(marker) + marker.length;
    const end = this.item.indexOf('"', start);
    const item = Buffer.concat([
      this.item.subarray(0, start),
      Buffer.from(String(revision)),
      this.item.subarray(end),
    ]);
    return new Entry(this.codec, this, item, revision);
  }

  /** This state of the object in another version, which `object` is in. */
  as(codec: ObjectCodec, object: KubeObject): Entry {
    const value = codec.encode(object);
    const item =
      object.metadata.resourceVersion === undefined
        ? codec.itemWithoutRevision(value)
        : codec.item(value, this.revision);
    return new Entry(codec, this, item, this.revision);
  }

  /** Read when they are first asked for: most answers and events meet no selector. */
  get labels(): Labels {
    if (!this.#knowsLabels) {
      this.#labels = labelsOf(this.item, this.codec);
      this.#knowsLabels = true;
    }
    return this.#labels;
  }

  /** False where this stored value certainly is another state: equal objects are equally long as bytes. */
  mayBe(value: Buffer): boolean {
    return this.codec.item(value, this.revision).length === this.item.length;
  }

  /** A fresh copy; the caller may change it. */
  decode(): KubeObject {
    return this.codec.decode(this.item);
  }

  /** Whole object with kind and apiVersion. */
  bytes(): Buffer {
    return Buffer.concat([this.codec.head, this.item.subarray(1)]);
  }

  /** The value of a selectable field; undefined when the kind doesn't know the field. */
  field(name: string): string | undefined {
    if (name === "metadata.name") return this.name;
    if (name === "metadata.namespace") return this.namespace;
    if (this.#fields === undefined) {
      const object = this.decode();
      this.#fields = {};
      for (const [field, valueOf] of Object.entries(this.codec.fieldSelectors)) {
        this.#fields[field] = valueOf(object);
      }
    }
    return this.#fields[name];
  }
}

function placeOf(key: string, keyPrefix: string): { key: string; namespace: string; name: string } {
  const rest = key.slice(keyPrefix.length);
  const slash = rest.indexOf("/");
  if (slash < 0) return { key, namespace: "", name: rest };
  return { key, namespace: rest.slice(0, slash), name: rest.slice(slash + 1) };
}

const labelsMarker = '"labels":{';

/**
 * Labels without parsing the whole object, where it is certain which bytes they are; else by parsing.
 * The metadata object is parsed alone: it ends where its braces balance.
 */
function labelsOf(item: Buffer, codec: ObjectCodec): Labels {
  if (item.indexOf(labelsMarker) < 0) return undefined;
  const metadata = metadataSlice(item);
  if (metadata !== undefined && metadata.indexOf(labelsMarker) < 0) return undefined;
  const parsed =
    metadata === undefined
      ? codec.decode(item).metadata
      : (JSON.parse(metadata.toString("utf8")) as KubeObject["metadata"]);
  const labels = parsed.labels;
  return labels === undefined || Object.keys(labels).length === 0 ? undefined : labels;
}

const quote = 0x22;
const backslash = 0x5c;
const open = 0x7b;
const close = 0x7d;

/** The bytes of the metadata object. Cheap: a scan for braces outside of strings. */
function metadataSlice(item: Buffer): Buffer | undefined {
  const start = '{"metadata":'.length;
  let depth = 0;
  for (let at = start; at < item.length; at++) {
    const byte = item[at];
    if (byte === quote) {
      at++;
      while (at < item.length && item[at] !== quote) at += item[at] === backslash ? 2 : 1;
    } else if (byte === open) {
      depth++;
    } else if (byte === close) {
      depth--;
      if (depth === 0) return item.subarray(start, at + 1);
    }
  }
  return undefined;
}
