import { assertEquals } from "@std/assert";
import type { Region, RegionOps } from "../../../core/bus/address_space.ts";
import { EventLoop } from "../../../core/bus/event_loop.ts";
import { type PowerEvent, powerRegions } from "../../../core/bus/power.ts";
import { createVmPage } from "../../../core/bus/vm_page.ts";
import { within } from "../../support/wait.ts";

const MAILBOX = new URL("../../../core/bus/mailbox.ts", import.meta.url).href;

interface Access {
  readonly space: 0 | 1;
  readonly at: number;
  readonly length: number;
  /** Absent for a read. */
  readonly write?: readonly [low: number, high: number];
}

/** A thread that does accesses through its mailbox, as a vCPU does. */
class FakeVcpu {
  readonly #worker: Worker;
  readonly #url: string;

  constructor(words: Int32Array<SharedArrayBuffer>, index: number) {
    const code = `import { Mailbox } from ${JSON.stringify(MAILBOX)};
      let mailbox;
      self.onmessage = ({ data }) => {
        if (data.words) return void (mailbox = new Mailbox(data.words, data.index));
        const answers = data.map(({ space, at, length, write }) => {
          [mailbox.low, mailbox.high] = write ?? [0, 0];
          const done = mailbox.access(space, at | 0, Math.floor(at / 2 ** 32), length, write ? 1 : 0);
          return [done, mailbox.low >>> 0, mailbox.high >>> 0];
        });
        self.postMessage(answers);
      };`;
    const blob = new Blob([code], { type: "text/javascript" });
    this.#url = URL.createObjectURL(blob);
    this.#worker = new Worker(this.#url, { type: "module" });
    this.#worker.postMessage({ words, index });
  }

  access(...accesses: Access[]): Promise<[boolean, number, number][]> {
    const { promise, resolve } = Promise.withResolvers<
      [boolean, number, number][]
    >();
    this.#worker.onmessage = ({ data }) => resolve(data);
    this.#worker.postMessage(accesses);
    return within(promise, 5000);
  }

  close(): void {
    this.#worker.terminate();
    URL.revokeObjectURL(this.#url);
  }
}

async function withLoop(
  regions: { mmio?: Region[]; pio?: Region[] },
  test: (
    vcpus: FakeVcpu[],
    words: Int32Array<SharedArrayBuffer>,
    failures: unknown[],
  ) => Promise<void>,
): Promise<void> {
  const words = new Int32Array(createVmPage(2));
  const failures: unknown[] = [];
  const loop = new EventLoop({
    words,
    vcpus: 2,
    mmio: regions.mmio ?? [],
    pio: regions.pio ?? [],
    onTurn: () => {},
    onFailure: (cause) => failures.push(cause),
  });
  const running = loop.run();
  const vcpus = [new FakeVcpu(words, 0), new FakeVcpu(words, 1)];
  try {
    await test(vcpus, words, failures);
  } finally {
    for (const vcpu of vcpus) vcpu.close();
    loop.close();
    await within(running);
  }
}

/** Memory of 64 bytes; a read of offset 0x20 waits for \`gate\`. */
function memory(gate?: Promise<void>): RegionOps {
  const view = new DataView(new ArrayBuffer(64));
  return {
    sizes: { min: 4, max: 4 },
    read: async (offset) => {
      if (offset === 0x20) await gate;
      if (offset === 0x30) throw new Error("broken");
      return view.getUint32(offset, true);
    },
    write: (offset, _size, value) => view.setUint32(offset, value, true),
  };
}

const HIGH = 2 ** 40;
const at = (base: number, target: RegionOps): Region => ({
  name: "memory",
  base,
  size: 64,
  target,
});

Deno.test("An access goes through the mailbox to its device and back", async () => {
  await withLoop(
    { mmio: [at(HIGH, memory())], pio: [at(0x100, memory())] },
    async ([vcpu], words) => {
      const answers = await vcpu!.access(
        {
          space: 0,
          at: HIGH + 8,
          length: 8,
          write: [0x8000_0001, 0xffff_fffe],
        },
        { space: 1, at: 0x108, length: 4, write: [7, 0] },
        { space: 0, at: HIGH + 8, length: 8 },
        { space: 1, at: 0x108, length: 4 },
        { space: 0, at: 0x108, length: 4 },
      );
      assertEquals(answers.slice(2), [
        [true, 0x8000_0001, 0xffff_fffe],
        [true, 7, 0],
        [true, 0xffff_ffff, 0xffff_ffff],
      ]);
      assertEquals(words[16 + 9], 1, "unassigned");
      assertEquals(words[16 + 10], 5, "mailed");
    },
  );
});

Deno.test("A withheld answer holds its vCPU only", async () => {
  const gate = Promise.withResolvers<void>();
  await withLoop(
    { mmio: [at(0, memory(gate.promise))] },
    async ([one, two]) => {
      let answered = false;
      const held = one!.access({ space: 0, at: 0x20, length: 4 });
      held.then(() => answered = true);
      await two!.access({ space: 0, at: 0, length: 4 });
      await two!.access({ space: 0, at: 0, length: 4 });
      assertEquals(answered, false);
      gate.resolve();
      assertEquals(await held, [[true, 0, 0]]);
    },
  );
});

Deno.test("A stopped VM lets a vCPU go that waits for an answer", async () => {
  await withLoop(
    { mmio: [at(0, memory(new Promise(() => {})))] },
    async ([vcpu], words) => {
      const held = vcpu!.access({ space: 0, at: 0x20, length: 4 });
      await new Promise((go) => setTimeout(go, 50));
      Atomics.store(words, 1, 2);
      assertEquals((await held)[0]![0], false);
    },
  );
});

Deno.test("A device of the core that throws is told of, and the vCPU goes on", async () => {
  await withLoop(
    { mmio: [at(0, memory())] },
    async ([vcpu], _words, failures) => {
      await vcpu!.access({ space: 0, at: 0x30, length: 4 });
      assertEquals(failures.map(String), ["Error: broken"]);
      assertEquals(
        (await vcpu!.access({ space: 0, at: 0, length: 4 }))[0]![0],
        true,
      );
    },
  );
});

Deno.test("Two vCPUs that write at once both get through", async () => {
  await withLoop({ mmio: [at(0, memory())] }, async ([one, two]) => {
    const many = (offset: number): Access[] =>
      Array.from(
        { length: 500 },
        (_, i) => ({ space: 0, at: offset, length: 4, write: [i, 0] }),
      );
    await Promise.all([one!.access(...many(0)), two!.access(...many(4))]);
    assertEquals(await one!.access({ space: 0, at: 0, length: 8 }), [[
      true,
      499,
      499,
    ]]);
  });
});

Deno.test("Sleep, reset and panic ports end the VM for the right values only", () => {
  const events: PowerEvent[] = [];
  const regions = powerRegions((event) => events.push(event));
  const write = (port: number, value: number) => {
    const region = regions.find(({ base, size }) =>
      port >= base && port < base + size
    )!;
    (region.target as RegionOps).write(port - region.base, 1, value);
  };
  for (const value of [0, 0x14, 0x20, 0x30, 0xff]) write(0x600, value);
  for (const value of [0, 2, 6]) write(0x602, value);
  write(0x601, 0x34);
  write(0x505, 2);
  assertEquals(events, []);
  write(0x600, 0x34);
  write(0x602, 1);
  write(0x505, 1);
  assertEquals(events, ["poweroff", "reboot", "panic"]);
  const panic = regions.find(({ base }) => base === 0x505)!;
  assertEquals((panic.target as RegionOps).read(0, 1), 1);
});
