/**
 * The program of the pause container, which holds a pod's namespaces: it waits for signals, ends on
 * SIGINT and SIGTERM, and reaps the children that a shared process namespace leaves to it. Written as
 * machine code, so that no compiler and no foreign binary is needed.
 *
 * It blocks the three signals and takes them with rt_sigtimedwait; as the first process of a PID
 * namespace it would not receive unblocked signals that it has no handler for.
 */
import { elfExecutable } from "./elf.ts";
import type { Architecture } from "./elf.ts";

export function pauseProgram(architecture: Architecture): Uint8Array {
  return elfExecutable(architecture, architecture === "amd64" ? amd64() : arm64());
}

/** Bits of SIGINT (2), SIGTERM (15) and SIGCHLD (17). */
const signalMask = [0x02, 0x40, 0x01, 0, 0, 0, 0, 0];

/** Bytes with one-byte or four-byte relative references to labels, resolved at the end. */
class Assembler {
  #bytes: number[] = [];
  #labels = new Map<string, number>();
  #references: { at: number; label: string; size: 1 | 4 }[] = [];

  emit(...bytes: number[]): this {
    this.#bytes.push(...bytes);
    return this;
  }

  label(name: string): this {
    this.#labels.set(name, this.#bytes.length);
    return this;
  }

  relative(label: string, size: 1 | 4): this {
    this.#references.push({ at: this.#bytes.length, label, size });
    for (let index = 0; index < size; index++) this.#bytes.push(0);
    return this;
  }

  assemble(): Uint8Array {
    const code = Buffer.from(this.#bytes);
    for (const { at, label, size } of this.#references) {
      const distance = this.#labels.get(label)! - (at + size);
      code.writeIntLE(distance, at, size);
    }
    return code;
  }
}

function amd64(): Uint8Array {
  const syscall = [0x0f, 0x05];
  const program = new Assembler();
  const setNumber = (number: number) => program.emit(0xb8, number, 0, 0, 0);
  const zero = { rdi: [0x31, 0xff], rsi: [0x31, 0xf6], rdx: [0x31, 0xd2], r10: [0x45, 0x31, 0xd2] };
  const eightInR10 = [0x41, 0xba, 8, 0, 0, 0];
  // rt_sigprocmask(SIG_BLOCK, &mask, NULL, 8)
  setNumber(14);
  program.emit(...zero.rdi, 0x48, 0x8d, 0x35).relative("mask", 4);
  program.emit(...zero.rdx, ...eightInR10, ...syscall);
  // rt_sigtimedwait(&mask, NULL, NULL, 8)
  program.label("wait");
  setNumber(128);
  program.emit(0x48, 0x8d, 0x3d).relative("mask", 4);
  program.emit(...zero.rsi, ...zero.rdx, ...eightInR10, ...syscall);
  program.emit(0x83, 0xf8, 15, 0x74).relative("exit", 1);
  program.emit(0x83, 0xf8, 2, 0x74).relative("exit", 1);
  program.emit(0x83, 0xf8, 17, 0x75).relative("wait", 1);
  // wait4(-1, NULL, WNOHANG, NULL) until there is nobody left
  program.label("reap");
  setNumber(61);
  program.emit(0xbf, 0xff, 0xff, 0xff, 0xff, ...zero.rsi, 0xba, 1, 0, 0, 0, ...zero.r10, ...syscall);
  program.emit(0x85, 0xc0, 0x7f).relative("reap", 1);
  program.emit(0xeb).relative("wait", 1);
  program.label("exit");
  setNumber(60);
  program.emit(...zero.rdi, ...syscall);
  program.label("mask").emit(...signalMask);
  return program.assemble();
}

function arm64(): Uint8Array {
  const words: number[] = [];
  const labels = new Map<string, number>();
  const fixes: (() => void)[] = [];
  const move = (register: number, value: number) => words.push((0xd2800000 | (value << 5) | register) >>> 0);
  const minusOne = (register: number) => words.push((0x92800000 | register) >>> 0);
  const systemCall = (number: number) => {
    move(8, number);
    words.push(0xd4000001);
  };
  const reference = (encode: (distance: number) => number, label: string) => {
    const at = words.push(0) - 1;
    fixes.push(() => {
      words[at] = encode(labels.get(label)! - at) >>> 0;
    });
  };
  const address = (register: number, label: string) =>
    reference((distance) => 0x10000000 | ((distance & 0x7ffff) << 5) | register, label);
  const compare = (value: number) => words.push((0x7100001f | (value << 10)) >>> 0);
  const branchIf = (condition: number, label: string) =>
    reference((distance) => 0x54000000 | ((distance & 0x7ffff) << 5) | condition, label);
  const branch = (label: string) => reference((distance) => 0x14000000 | (distance & 0x3ffffff), label);
  const here = (label: string) => labels.set(label, words.length);
  const equal = 0;
  const notEqual = 1;
  const greater = 12;
  move(0, 0);
  address(1, "mask");
  move(2, 0);
  move(3, 8);
  systemCall(135);
  here("wait");
  address(0, "mask");
  move(1, 0);
  move(2, 0);
  move(3, 8);
  systemCall(137);
  compare(15);
  branchIf(equal, "exit");
  compare(2);
  branchIf(equal, "exit");
  compare(17);
  branchIf(notEqual, "wait");
  here("reap");
  minusOne(0);
  move(1, 0);
  move(2, 1);
  move(3, 0);
  systemCall(260);
  compare(0);
  branchIf(greater, "reap");
  branch("wait");
  here("exit");
  move(0, 0);
  systemCall(93);
  here("mask");
  for (const fix of fixes) fix();
  const code = Buffer.alloc(words.length * 4 + signalMask.length);
  words.forEach((word, index) => code.writeUInt32LE(word, index * 4));
  code.set(signalMask, words.length * 4);
  return code;
}
