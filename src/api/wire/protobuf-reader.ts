/** The protobuf wire format (protobuf.dev, "Encoding"): iterates over the fields of one message. */

export interface WireField {
  number: number;
  /** Of length-delimited fields; empty for the others. */
  bytes: Uint8Array;
  /** Of varint and fixed-size fields, as the 64 bits that were written; 0 for the others. */
  value: bigint;
}

export class ProtobufError extends Error {
  override name = "ProtobufError";
}

export class WireReader implements Iterable<WireField> {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  *[Symbol.iterator](): Iterator<WireField> {
    const none = new Uint8Array();
    while (this.#at < this.#bytes.length) {
      const tag = Number(this.#varint());
      const number = Math.floor(tag / 8);
      switch (tag % 8) {
        case 0:
          yield { number, bytes: none, value: this.#varint() };
          break;
        case 1:
          yield { number, bytes: none, value: this.#view.getBigUint64(this.#skip(8), true) };
          break;
        case 2: {
          const length = Number(this.#varint());
          const start = this.#skip(length);
          yield { number, bytes: this.#bytes.subarray(start, start + length), value: 0n };
          break;
        }
        case 5:
          yield { number, bytes: none, value: BigInt(this.#view.getUint32(this.#skip(4), true)) };
          break;
        default:
          throw new ProtobufError(`proto: illegal wireType ${tag % 8}`);
      }
    }
  }

  /** Moves over `length` bytes and returns where they start. */
  #skip(length: number): number {
    const start = this.#at;
    if (length < 0 || start + length > this.#bytes.length) throw new ProtobufError("unexpected EOF");
    this.#at = start + length;
    return start;
  }

  #varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#skip(1)] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new ProtobufError("proto: integer overflow");
  }
}
