// Takes a chain and never answers.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: { requestq: () => new Promise<number>(() => {}) },
  }),
});
