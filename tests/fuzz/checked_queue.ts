// Level A: a ring of the device's that is compared with the model, call by call.
import { DriverError } from "../../core/errors.ts";
import type { DescriptorChain } from "../../core/virtio/chain.ts";
import { RamView } from "../../core/virtio/ram_view.ts";
import type { Virtqueue } from "../../core/virtio/virtqueue.ts";
import { Finding } from "./finding.ts";
import { type ModelChain, REFUSED, type RingModel } from "./ring_model.ts";

/** RAM in which only so many translations may be made: what the device does with one chain is bounded. */
export class CountedRam extends RamView {
  left = 0;

  override translate(gpa: number, length: number): number {
    if (this.left-- > 0) return super.translate(gpa, length);
    throw new Finding("unbounded: one pop() looks at too many descriptors");
  }
}

export class CheckedQueue implements Virtqueue {
  readonly #ring: Virtqueue;
  readonly #model: RingModel;
  readonly #ram: CountedRam;
  #revoked = false;
  /** What was called after that. It is thrown too, but the caller may have nobody who hears of it. */
  misuse: Finding | null = null;
  readonly #chains = new Map<DescriptorChain, ModelChain>();

  constructor(ring: Virtqueue, model: RingModel, ram: CountedRam) {
    this.#ring = ring;
    this.#model = model;
    this.#ram = ram;
  }

  get size(): number {
    return this.#ring.size;
  }

  get position(): number {
    return this.#ring.position;
  }

  /** The driver has the ring back: from now on every call is a finding. */
  revoke(): void {
    this.#revoked = true;
  }

  #check(call: string): void {
    if (!this.#revoked) return;
    this.misuse = new Finding(`revoked: ${call} after the reset`);
    throw this.misuse;
  }

  /** What the model has for a chain that was popped. */
  modelOf(chain: DescriptorChain): ModelChain {
    return this.#chains.get(chain)!;
  }

  pop(): DescriptorChain | null {
    this.#check("pop()");
    const expected = this.#model.pop();
    this.#ram.left = 2 * this.#ring.size + 1;
    let chain: DescriptorChain | null;
    try {
      chain = this.#ring.pop();
    } catch (error) {
      if (!(error instanceof DriverError)) {
        throw new Finding(`throws: pop() threw ${error}`);
      }
      if (expected === REFUSED) throw error;
      throw new Finding(`refused: what is allowed: ${error.message}`);
    }
    if (expected === REFUSED) {
      throw new Finding("accepted: pop() took what is forbidden");
    }
    if (chain === null || expected === null) {
      if (chain === expected) return null;
      throw new Finding(`available: pop() gave ${chain && "a chain"}`);
    }
    this.#compare(chain, expected);
    this.#chains.set(chain, expected);
    return chain;
  }

  #compare(chain: DescriptorChain, expected: ModelChain): void {
    const views = [...chain.readable.views(), ...chain.writable.views()];
    const { pieces, id } = expected;
    const isSame = chain.head === id && views.length === pieces.length &&
      views.every((view, i) =>
        view.byteOffset === pieces[i]!.at && view.length === pieces[i]!.length
      );
    const written = pieces.filter(({ write }) => write);
    const capacity = written.reduce((sum, { length }) => sum + length, 0);
    if (isSame && capacity === chain.capacity) return;
    throw new Finding(`chain: ${chain.head} instead of ${id}, or other pieces`);
  }

  addUsed(chain: DescriptorChain, written: number): void {
    this.#check("addUsed()");
    this.#model.addUsed(this.modelOf(chain), written);
    this.#ring.addUsed(chain, written);
  }

  needsInterrupt(): boolean {
    this.#check("needsInterrupt()");
    const expected = this.#model.needsInterrupt();
    const needs = this.#ring.needsInterrupt();
    if (expected === null || needs === expected) return needs;
    throw new Finding(`interrupt: needsInterrupt() said ${needs}`);
  }

  disableNotifications(): void {
    this.#check("disableNotifications()");
    this.#model.disable();
    this.#ring.disableNotifications();
  }

  enableNotifications(): boolean {
    this.#check("enableNotifications()");
    const expected = this.#model.enable();
    const more = this.#ring.enableNotifications();
    if (more === expected) return more;
    throw new Finding(`enable: enableNotifications() said ${more}`);
  }
}
