/** Writes protobuf messages (protobuf.dev, "Encoding") field by field. Nested messages are written first and embedded. */

export class WireWriter {
  readonly #chunks: Uint8Array[] = [];
  #size = 0;

  string(number: number, value: string): this {
    return this.bytes(number, Buffer.from(value, "utf8"));
  }

  bytes(number: number, value: Uint8Array): this {
    this.#push(varint(number * 8 + 2));
    this.#push(varint(value.length));
    this.#push(value);
    return this;
  }

  /** Integers and booleans. Negative ones take ten bytes: two's complement of 64 bits. */
  integer(number: number, value: number): this {
    this.#push(varint(number * 8));
    this.#push(value < 0 ? negativeVarint(value) : varint(value));
    return this;
  }

  double(number: number, value: number): this {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    this.#push(varint(number * 8 + 1));
    this.#push(bytes);
    return this;
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#chunks, this.#size);
  }

  #push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#size += bytes.length;
  }
}

function negativeVarint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) + 128);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
