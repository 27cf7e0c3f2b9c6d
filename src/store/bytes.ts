/**
 * Writing and reading of compact binary records: variable-length integers, byte strings, nested
 * options. Used for log entries, peer frames and the messages between threads. It knows no message.
 */

/** Thrown by ByteReader for what no ByteWriter has written. */
export class MalformedError extends Error {
  override name = "MalformedError";
}

/** What a writer that begins anew keeps of its memory. */
const keptBytes = 64 << 10;

export class ByteWriter {
  #buffer: Buffer;
  #length = 0;

  constructor(capacityBytes = 256) {
    this.#buffer = Buffer.allocUnsafeSlow(capacityBytes);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): this {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
    return this;
  }

  boolean(value: boolean): this {
    return this.byte(value ? 1 : 0);
  }

  /** A non-negative safe integer, seven bits a byte, the lowest first. */
  integer(value: number): this {
    if (!Number.isSafeInteger(value) || value < 0) throw new MalformedError(`not a count: ${value}`);
    this.#reserve(8);
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#length++] = rest;
    return this;
  }

  /** An integer that may be negative (zigzag). */
  signed(value: number): this {
    return this.boolean(value < 0).integer(Math.abs(value));
  }

  /** A byte string: every character is one byte. */
  key(value: string): this {
    this.integer(value.length);
    this.#reserve(value.length);
    this.#length += this.#buffer.write(value, this.#length, "latin1");
    return this;
  }

  /** A text, as UTF-8. */
  text(value: string): this {
    return this.bytes(Buffer.from(value, "utf8"));
  }

  bytes(value: Uint8Array): this {
    this.integer(value.length);
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  optional<T>(value: T | undefined, write: (value: T) => void): this {
    this.boolean(value !== undefined);
    if (value !== undefined) write(value);
    return this;
  }

  list<T>(values: readonly T[], write: (value: T) => void): this {
    this.integer(values.length);
    for (const value of values) write(value);
    return this;
  }

  /** Begins anew in the same memory: what `view` gave before is overwritten. For what is written and used up in one go. */
  restart(): this {
    if (this.#buffer.length > keptBytes) this.#buffer = Buffer.allocUnsafeSlow(keptBytes);
    this.#length = 0;
    return this;
  }

  /** The written bytes, until more is written. */
  view(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  /** The written bytes in memory of their own, of just their size. */
  copy(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer.buffer as ArrayBuffer, this.#buffer.byteOffset, this.#length).slice();
  }

  /** The written bytes. They share memory with the writer, which must not be used afterwards. */
  finish(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.#buffer.buffer as ArrayBuffer, this.#buffer.byteOffset, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}

export class ByteReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at === this.#buffer.length;
  }

  byte(): number {
    const value = this.#buffer[this.#at++];
    if (value === undefined) throw new MalformedError("record ends early");
    return value;
  }

  boolean(): boolean {
    return this.byte() !== 0;
  }

  integer(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
    }
    if (!Number.isSafeInteger(value)) throw new MalformedError("integer out of range");
    return value;
  }

  signed(): number {
    const negative = this.boolean();
    const value = this.integer();
    return negative ? -value : value;
  }

  key(): string {
    const start = this.#take();
    return this.#buffer.toString("latin1", start, this.#at);
  }

  text(): string {
    const start = this.#take();
    return this.#buffer.toString("utf8", start, this.#at);
  }

  /** Shares memory with what is read. */
  bytes(): Uint8Array {
    const start = this.#take();
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + start, this.#at - start);
  }

  optional<T>(read: () => T): T | undefined {
    return this.boolean() ? read() : undefined;
  }

  list<T>(read: () => T): T[] {
    const count = this.integer();
    if (count > this.#buffer.length - this.#at) throw new MalformedError("list longer than its record");
    const values: T[] = [];
    for (let at = 0; at < count; at++) values.push(read());
    return values;
  }

  #take(): number {
    const length = this.integer();
    const start = this.#at;
    if (start + length > this.#buffer.length) throw new MalformedError("record ends early");
    this.#at = start + length;
    return start;
  }
}
