/** A minimal ELF executable around some machine code: one loadable segment, entry at its first instruction. */

export const machines = { amd64: 62, arm64: 183 } as const;

export type Architecture = keyof typeof machines;

const base = 0x400000n;
const headerSize = 64 + 56;

export function elfExecutable(architecture: Architecture, code: Uint8Array): Uint8Array {
  const file = Buffer.alloc(headerSize + code.length);
  // Identification: magic, 64 bits, little-endian, version 1.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]);
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(machines[architecture], 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(base + BigInt(headerSize), 24);
  file.writeBigUInt64LE(64n, 32);
  file.writeUInt16LE(64, 52);
  file.writeUInt16LE(56, 54);
  file.writeUInt16LE(1, 56);
  file.writeUInt16LE(64, 58);
  // Program header: load the whole file, readable and executable.
  file.writeUInt32LE(1, 64);
  file.writeUInt32LE(5, 68);
  file.writeBigUInt64LE(0n, 72);
  file.writeBigUInt64LE(base, 80);
  file.writeBigUInt64LE(base, 88);
  file.writeBigUInt64LE(BigInt(file.length), 96);
  file.writeBigUInt64LE(BigInt(file.length), 104);
  file.writeBigUInt64LE(0x1000n, 112);
  file.set(code, headerSize);
  return file;
}
