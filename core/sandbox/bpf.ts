// Thread: any
// Classic BPF for seccomp: the few instructions that a filter of system calls needs, assembled into bytes.

/** linux/bpf_common.h, linux/seccomp.h. */
const BPF_LD_W_ABS = 0x20;
const BPF_JEQ_K = 0x15;
const BPF_JGE_K = 0x35;
const BPF_JSET_K = 0x45;
const BPF_AND_K = 0x54;
const BPF_RET_K = 0x06;

/** struct seccomp_data: where a filter finds what it looks at. Arguments are 64 bits; these are their low halves. */
export const SECCOMP_DATA_NR = 0;
export const SECCOMP_DATA_ARCH = 4;
export const seccompDataArg = (index: number): number => 16 + 8 * index;

export const SECCOMP_RET_ALLOW = 0x7fff0000;
const SECCOMP_RET_ERRNO = 0x00050000;
const SECCOMP_RET_USER_NOTIF = 0x7fc00000;

/** One struct sock_filter: code, how many instructions to skip if true and if false, constant. */
export interface Instruction {
  readonly code: number;
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}
export type Block = readonly Instruction[];

const instruction = (
  code: number,
  k: number,
  jt = 0,
  jf = 0,
): Instruction => ({ code, jt, jf, k });

export const load = (offset: number): Block => [
  instruction(BPF_LD_W_ABS, offset),
];
export const and = (mask: number): Block => [instruction(BPF_AND_K, mask)];
export const allow: Block = [instruction(BPF_RET_K, SECCOMP_RET_ALLOW)];
export const refuse = (errno: number): Block => [
  instruction(BPF_RET_K, SECCOMP_RET_ERRNO | errno),
];
/** Whoever has the filter's listener is asked (refusals.ts). */
export const ask: Block = [instruction(BPF_RET_K, SECCOMP_RET_USER_NOTIF)];
/** Runs `then` when the loaded word is `k`, at least `k`, or has a bit of `k`; else goes on behind it. */
export const ifEqual = (k: number, then: Block): Block =>
  branch(BPF_JEQ_K, k, then);
export const ifAtLeast = (k: number, then: Block): Block =>
  branch(BPF_JGE_K, k, then);
export const ifAnyBit = (k: number, then: Block): Block =>
  branch(BPF_JSET_K, k, then);

/** Runs `then`, which must end in a verdict, when the loaded word is not `k`. */
export const unlessEqual = (k: number, then: Block): Block => [
  instruction(BPF_JEQ_K, k, then.length, 0),
  ...then,
];

function branch(code: number, k: number, then: Block): Block {
  if (then.length > 0xff) throw new RangeError("a jump spans 255 instructions");
  return [instruction(code, k, 0, then.length), ...then];
}

/** An array of struct sock_filter. */
export function assemble(program: Block): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(program.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, { code, jt, jf, k }] of program.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, jt);
    view.setUint8(index * 8 + 3, jf);
    view.setUint32(index * 8 + 4, k, true);
  }
  return bytes;
}
