import { assert, assertEquals, assertMatch } from "@std/assert";
import type { FakeRing } from "../../tests/support/fake_driver.ts";
import { FakeMachine } from "../../tests/support/fake_machine.ts";
import { freePort, Typist } from "../../tests/support/typist.ts";
import { within } from "../../tests/support/wait.ts";

const KiB = 1024;
const module = new URL("mod.ts", import.meta.url).href;

interface Console {
  readonly machine: FakeMachine;
  readonly receive: FakeRing;
  readonly transmit: FakeRing;
  readonly listen: string;
  readonly url: string;
}

async function withConsole(
  test: (console: Console) => Promise<void>,
  options: Record<string, unknown> = {},
): Promise<void> {
  const listen = `127.0.0.1:${freePort()}`;
  await using machine = await FakeMachine.start({
    module,
    builtIn: false,
    options: { listen, ...options },
    grants: { net: [listen] },
  });
  await test({
    machine,
    ...await bringUp(machine),
    listen,
    url: `ws://${listen}`,
  });
  assertEquals(machine.faults, []);
  assertEquals(machine.driverErrors, []);
}

async function bringUp(machine: FakeMachine) {
  await machine.negotiate();
  const receive = await machine.queue(0, 16);
  const transmit = await machine.queue(1, 16);
  await machine.driverOk();
  return { receive, transmit };
}

/** The guest prints bytes from 0x20000 on. */
async function print(
  { machine, transmit }: Console,
  bytes: Uint8Array,
): Promise<void> {
  machine.bytes.set(bytes, 0x20000);
  transmit.add({ at: 0x20000, length: bytes.length });
  machine.kick(1);
  await machine.used(transmit, 1);
}

const encode = (text: string) => new TextEncoder().encode(text);

Deno.test("websocket_console shows every client what is printed, late ones too", () =>
  withConsole(async (console) => {
    await print(console, encode("first "));
    await using one = await Typist.connect(console.url);
    await print(console, encode("second "));
    await using two = await Typist.connect(console.url);
    await print(console, encode("third"));
    for (const client of [one, two]) {
      await client.sees("first second third");
    }
  }));

Deno.test("websocket_console keeps the last 64 KiB for those who come late", () =>
  withConsole(async (console) => {
    const printed = Uint8Array.from(
      { length: 300 * KiB },
      (_, i) => 32 + (i * 7 + (i >> 10)) % 90,
    );
    for (let at = 0; at < printed.length; at += 30 * KiB) {
      await print(console, printed.subarray(at, at + 30 * KiB));
    }
    await using late = await Typist.connect(console.url);
    await within(late.until(() => late.seen.length >= 64 * KiB));
    const expected = new TextDecoder().decode(printed.subarray(-64 * KiB));
    assert(late.seen === expected, `${late.seen.length} characters`);
  }));

Deno.test("websocket_console gives the guest what any client types, whole and in order", () =>
  withConsole(async (console) => {
    const { machine, receive, url } = console;
    await using one = await Typist.connect(url);
    await using two = await Typist.connect(url);
    one.type("from one ");
    receive.add({ at: 0x8000, length: 4, write: true });
    receive.add({ at: 0x8004, length: 3, write: true });
    machine.kick(0);
    // The rest waits for the next buffer.
    const used = await machine.used(receive, 2);
    assertEquals(used.map(({ length }) => length), [4, 3]);
    two.type(encode("from two"));
    receive.add({ at: 0x8007, length: 2, write: true });
    machine.kick(0);
    await machine.used(receive, 1);
    receive.add({ at: 0x8009, length: 64, write: true });
    machine.kick(0);
    await machine.used(receive, 1);
    const typed = machine.bytes.slice(0x8000, 0x8011);
    assertEquals(new TextDecoder().decode(typed), "from one from two");
  }));

Deno.test("websocket_console keeps what is typed before a driver is there, and over its reset", () =>
  withConsole(async ({ machine, url }) => {
    await machine.reset();
    await using client = await Typist.connect(url);
    client.type("early");
    await new Promise((go) => setTimeout(go, 50));
    const { receive } = await bringUp(machine);
    receive.add({ at: 0x8000, length: 64, write: true });
    machine.kick(0);
    assertEquals((await machine.used(receive, 1))[0]!.length, 5);
  }));

Deno.test("websocket_console drops a client that types more than the guest reads, and nothing of the others", () =>
  withConsole(async ({ machine, receive, url }) => {
    await using fast = await Typist.connect(url);
    await using calm = await Typist.connect(url);
    calm.type("calm");
    for (let i = 0; i < 5; i++) fast.type(new Uint8Array(60 * KiB).fill(0x66));
    assertEquals(
      (await within(fast.closed)).reason,
      "the guest does not read what is typed",
    );
    let taken = "";
    for (let i = 0; i < 5; i++) {
      receive.add({ at: 0x20000, length: 64 * KiB, write: true });
      machine.kick(0);
      const [used] = await machine.used(receive, 1);
      const bytes = machine.bytes.slice(0x20000, 0x20000 + used!.length);
      taken += new TextDecoder().decode(bytes);
    }
    assertEquals(taken.replaceAll(/f+/g, "f").replace("f", ""), "calm");
    assertEquals(taken.length, 4 * 60 * KiB + 4);
  }));

Deno.test("websocket_console drops a client that takes nothing, and the guest and the others go on", () =>
  withConsole(async (console) => {
    const { machine, listen, url } = console;
    await using _idle = await Typist.connectIdle(listen);
    await using eager = await Typist.connect(url);
    let printed = 0;
    while (
      !machine.logged.some((line) => /does not take the output/.test(line))
    ) {
      await print(console, new Uint8Array(64 * KiB).fill(0x2e));
      printed += 64 * KiB;
      assert(printed < 64 * KiB * KiB, "nobody was dropped");
      await within(eager.until(() => eager.seen.length === printed));
    }
    await print(console, encode("!"));
    await eager.sees("!");
    assertEquals(eager.seen.length, printed + 1);
    assertEquals(
      machine.logged.filter((line) => /Dropped/.test(line)).length,
      1,
    );
  }));

Deno.test("websocket_console is not for web pages, but those of one origin", () =>
  withConsole(async ({ listen }) => {
    const ask = async (headers: Record<string, string>) => {
      const response = await fetch(`http://${listen}/`, { headers });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await ask({}), 426);
    assertEquals(await ask({ origin: "http://evil.example" }), 403);
    assertEquals(await ask({ origin: "http://good.example" }), 426);
  }, { origin: "http://good.example" }));

Deno.test("websocket_console is no console when its port is taken", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const listen = `127.0.0.1:${listener.addr.port}`;
  await using machine = await FakeMachine.start({
    module,
    builtIn: false,
    options: { listen },
    grants: { net: [listen] },
  });
  assertMatch(machine.faults.join(), /in use/i);
});
