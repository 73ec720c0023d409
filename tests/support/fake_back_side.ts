// A device behind vhost-user in this process, with its real worker, and a front end that a test plays.
import { BackEnd } from "../../core/vhost_user/back_end.ts";
import type { Connection } from "../../core/vhost_user/connection.ts";
import { type FakeMachineOptions, MODERN } from "./fake_machine.ts";
import { FakeFrontEnd, type FakeGuest } from "./fake_front_end.ts";
import { NOTHING } from "./permissions.ts";
import { connectionPair } from "./connections.ts";

export class BackSide implements AsyncDisposable {
  readonly backEnd: BackEnd;
  readonly violations: string[] = [];
  readonly driverErrors: string[] = [];
  readonly faults: string[] = [];
  readonly logged: string[] = [];
  #served: Promise<void> = Promise.resolve();

  private constructor(options: FakeMachineOptions) {
    this.backEnd = new BackEnd({
      name: "dev0",
      module: options.module,
      builtIn: options.builtIn ?? true,
      options: options.options ?? {},
      grants: { ...NOTHING, ...options.grants },
      virtio: { ...MODERN, ...options.virtio },
      trace: [],
      onTrace: () => {},
      punchHole: options.punchHole ?? (() => false),
      onDriverError: (section, text) =>
        this.driverErrors.push(`${section}: ${text}`),
      onFault: (error) => this.faults.push(error.message),
      onLog: (message) => this.logged.push(message),
      onViolation: (message) => this.violations.push(message),
      ...(options.budgetMs === undefined ? {} : { budgetMs: options.budgetMs }),
    });
  }

  static async start(options: FakeMachineOptions): Promise<BackSide> {
    const side = new BackSide(options);
    await side.backEnd.start();
    return side;
  }

  /** A front end of this guest, connected when the one before is done with. */
  async connect(guest: FakeGuest): Promise<FakeFrontEnd> {
    await this.#served;
    const [ours, theirs] = connectionPair();
    this.serve(theirs);
    return new FakeFrontEnd(guest, ours);
  }

  serve(connection: Connection): void {
    this.#served = this.backEnd.serve(connection);
  }

  /** Resolves when the back end is done with the front end that was connected last. */
  get served(): Promise<void> {
    return this.#served;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.backEnd.close();
  }
}
