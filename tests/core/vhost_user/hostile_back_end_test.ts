// Back ends that do not keep to the protocol, hang up at every step, or say nothing: the device is lost, nothing else.

import { assert, assertEquals } from "@std/assert";
import { VhostUserError } from "../../../core/errors.ts";
import { EventFd } from "../../../core/sys/fd.ts";
import {
  BackEndMachine,
  type BackEndMachineOptions,
} from "../../support/back_end_machine.ts";
import {
  ALL,
  type FakeBackEnd,
  type Script,
  type Told,
} from "../../support/fake_back_end.ts";
import { closedAgain, openFds } from "../../support/open_fds.ts";

const NO_RECORD = 0x2229n;
const settled = () => new Promise((resolve) => setTimeout(resolve, 30));

/** A life with everything in it; after `hurt` the device must be there again at the reset. */
async function live(
  options: BackEndMachineOptions,
  fine: boolean,
): Promise<string[]> {
  let machine: BackEndMachine;
  try {
    machine = await BackEndMachine.start({ lookMs: 50, ...options });
  } catch (error) {
    if (!(error instanceof VhostUserError)) throw error;
    return [error.message];
  }
  await using _machine = machine;
  machine.next = [{}];
  await machine.bringUp(0, 0x101);
  await machine.write(0x100, 1, 1);
  await machine.write(0x030, 1);
  await machine.write(0x0c0, 1);
  await machine.host.command(7);
  await machine.host.command(8);
  await machine.reset();
  if (fine) assertEquals(machine.faults, []);
  else await machine.until(() => machine.faults.length > 0, "fault");
  await machine.reset();
  await machine.bringUp();
  assertEquals(machine.status, 0xf);
  return machine.faults;
}

/** Runs a life twice and sees that the second leaves no descriptor behind. */
async function leakless(
  options: () => BackEndMachineOptions,
  fine = false,
): Promise<string[]> {
  await live(options(), fine);
  const before = await openFds();
  const faults = await live(options(), fine);
  await closedAgain(before);
  return faults;
}

/** Does `act` instead of an answer to the request with this number. */
const at = (
  request: number,
  act: (told: Told, end: FakeBackEnd) => void,
): Script =>
(told, end) => {
  if (told.request !== request) return false;
  act(told, end);
  return true;
};

Deno.test("A life with a back end that keeps to the protocol has no faults", async () => {
  assertEquals(await leakless(() => ({}), true), []);
});

for (const protocolFeatures of [ALL, NO_RECORD, 0n]) {
  const name = `features 0x${protocolFeatures.toString(16)}`;
  Deno.test(`A hang-up at any request costs the device only (${name})`, async () => {
    const device = protocolFeatures === 0n ? { config: 0 } : {};
    for (let step = 0, over = false; !over; step++) {
      assert(step < 200, "the life has no end");
      let left = step;
      const script: Script = (_told, end) => {
        if (left-- !== 0) return false;
        end.hangUp();
        return true;
      };
      const options = { protocolFeatures, device, lookMs: 50 };
      await using machine = await BackEndMachine.start({ ...options, script })
        .catch(() => BackEndMachine.start(options));
      machine.next = [{ protocolFeatures }];
      await machine.bringUp(0, 0x101);
      await machine.write(0x100, 1, 1);
      await machine.write(0x030, 1);
      await machine.write(0x0c0, 1);
      await machine.reset();
      over = left > 0;
      await machine.reset();
      await machine.bringUp();
      if (machine.status !== 0xf) {
        // It was this that ended it.
        await machine.reset();
        await machine.bringUp();
      }
      assertEquals(machine.status, 0xf, `step ${step}`);
    }
  });
}

for (const request of [1, 15, 17, 11, 24, 31]) {
  for (const size of [0, 1, 7, 9, 4096]) {
    Deno.test(`${size} bytes as the answer to request ${request} end the connection`, async () => {
      const [fault] = await leakless(() => ({
        script: at(
          request,
          (_, end) => end.reply(request, new Uint8Array(size)),
        ),
      }));
      assert(/sent|has no/.test(fault!), fault);
    });
  }
}

for (const request of [2, 5, 8, 9, 10, 12, 13, 14, 18, 32, 34, 3, 21]) {
  Deno.test(`A refusal of request ${request} ends the connection`, async () => {
    const [fault] = await leakless(() => ({
      script: at(
        request,
        (_, end) => end.reply(request, new Uint8Array(8).fill(1)),
      ),
    }));
    assert(fault!.includes("refused VHOST_USER_"), fault);
  });
}

const nine = (end: FakeBackEnd, request: number): void => {
  using fd = new EventFd();
  const fds = Array.from({ length: 8 }, () => fd);
  end.reply(request, new Uint8Array(8), fds);
  end.reply(request, new Uint8Array(8), fds);
};

for (
  const [name, script, message] of [
    [
      "an answer to another request",
      at(5, (_, end) => end.reply(6, new Uint8Array(8))),
      "VHOST_USER_SET_LOG_BASE",
    ],
    [
      "an answer without the reply flag",
      at(5, (_, end) => end.connection.send(5, new Uint8Array(8))),
      "nobody asked",
    ],
    [
      "two answers",
      at(5, (told, end) => {
        end.answer(told);
        end.answer(told);
      }),
      "VHOST_USER_SET_MEM_TABLE, which nobody asked for",
    ],
    [
      "descriptors with every answer",
      at(5, (_, end) => nine(end, 5)),
      "nobody asked",
    ],
    [
      "a request of its own on the main connection",
      at(5, (_, end) => end.connection.send(2, new Uint8Array(8))),
      "nobody asked",
    ],
    [
      "an inflight record without a descriptor",
      at(
        31,
        ({ payload }, end) => end.reply(31, payload.slice().fill(1, 0, 1)),
      ),
      "sent 0 descriptors",
    ],
    [
      "an inflight record with three descriptors",
      at(31, ({ payload }, end) => {
        using fd = new EventFd();
        end.reply(31, payload.slice().fill(1, 0, 1), [fd, fd, fd]);
      }),
      "sent 3 descriptors",
    ],
    [
      "an inflight record of nothing",
      at(31, ({ payload }, end) => end.reply(31, payload)),
      "has no memory",
    ],
    [
      "the base of another queue",
      at(11, (_, end) => end.reply(11, new Uint8Array(8).fill(9))),
      "stopped queue",
    ],
    [
      "more configuration than was asked for",
      at(
        24,
        (_, end) =>
          end.reply(
            24,
            Uint8Array.of(
              0,
              0,
              0,
              0,
              9,
              0,
              0,
              0,
              0,
              0,
              0,
              0,
              1,
              2,
              3,
              4,
              5,
              6,
              7,
              8,
              9,
            ),
          ),
      ),
      "sent 9 bytes of configuration space",
    ],
  ] as const
) {
  Deno.test(`A back end that sends ${name} is cut off`, async () => {
    const [fault] = await leakless(() => ({ script }));
    assert(fault!.includes(message), fault);
  });
}

Deno.test("Descriptors that nobody asked for are closed, with an answer that is right otherwise", async () => {
  const script = at(1, (told, end) => {
    using fd = new EventFd();
    const bytes = new Uint8Array(BigUint64Array.of(0x1_7000_0000n).buffer);
    end.reply(told.request, bytes, [fd, fd]);
  });
  assertEquals(await leakless(() => ({ script }), true), []);
});

for (const request of [1, 16, 3, 24]) {
  Deno.test(`A back end that does not answer request ${request} is no back end`, async () => {
    const [fault] = await live(
      { script: at(request, () => {}), budgetMs: 500 },
      false,
    );
    assert(
      fault!.includes("did not answer") && fault!.includes("0.5 s"),
      fault,
    );
  });
}

for (const request of [2, 5, 31, 18, 25, 11, 34]) {
  Deno.test(`A back end that does not answer request ${request} is cut off, and the driver's register is`, async () => {
    const [fault] = await live(
      { script: at(request, () => {}), budgetMs: 500 },
      false,
    );
    assert(
      fault!.includes("did not answer") && fault!.includes("0.5 s"),
      fault,
    );
  });
}

Deno.test("The budget is for a command, not for each of its messages", async () => {
  const slow: Script = (told, end) => {
    if (told.request < 8 || told.request > 18) return false;
    setTimeout(() => {
      try {
        end.answer(told);
      } catch {
        // It was cut off.
      }
    }, 400);
    return true;
  };
  const [fault] = await live({ script: slow, budgetMs: 700 }, false);
  assert(fault!.includes("in 0.7 s"), fault);
});

Deno.test("A back end that floods its channel is cut off", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  const { channel } = machine.backEnd;
  machine.next = [false];
  const start = performance.now();
  while (machine.faults.length === 0 && performance.now() - start < 4000) {
    try {
      for (let i = 0; i < 100; i++) channel!.send(2);
    } catch {
      // It is full, or gone.
    }
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  assert(machine.faults[0]!.includes("over 1000 messages"), machine.faults[0]);
});

Deno.test("A back end that sends too long a message on its channel is cut off", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  machine.next = [false];
  machine.backEnd.channel!.send(2, new Uint8Array(5000));
  await machine.until(() => machine.faults.length > 0);
  await machine.reset();
  assertEquals(machine.status, 0x40);
});

Deno.test("A back end may close its channel", async () => {
  await using machine = await BackEndMachine.start();
  await machine.bringUp();
  machine.backEnd.channel!.close();
  await settled();
  await machine.reset();
  await machine.bringUp();
  assertEquals([machine.status, machine.faults], [0xf, []]);
});

Deno.test("Changes of configuration without end cost the driver few interrupts", async () => {
  let asked = 0, answered = 0;
  await using machine = await BackEndMachine.start({
    script: (told, end) => {
      if (told.request !== 24) return false;
      asked++;
      setTimeout(() => {
        end.answer(told);
        answered++;
      }, 20);
      return true;
    },
  });
  await machine.bringUp();
  for (let i = 0; i < 500; i++) {
    machine.backEnd.channel!.send(2);
    if (i % 50 === 0) await settled();
  }
  // One more answer serves all that came meanwhile.
  await machine.until(() => machine.interrupts > 0 && asked === answered);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const { interrupts } = machine;
  // Each is of an answer, of which 20 ms bring one.
  assert(interrupts <= answered, `${interrupts} interrupts`);
  assert(answered < 250, `${answered} answers to 500 changes`);
  await new Promise((resolve) => setTimeout(resolve, 100));
  assertEquals([machine.interrupts, machine.faults], [interrupts, []]);
});
