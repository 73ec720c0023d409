// The driver's accesses that both sides are put through, by the register layout that they are for.
import type { Sequence } from "./driver.ts";
import {
  config,
  features,
  identity,
  queues,
  readOnly,
  reads,
  status,
} from "./registers.ts";
import {
  attacks,
  earlyKick,
  lateFeatures,
  legacy,
  queueReset,
  requests,
} from "./requests.ts";

export const MODERN: readonly Sequence[] = [
  identity,
  features,
  status,
  queues,
  reads,
  readOnly,
  config,
  requests,
  lateFeatures,
  queueReset,
  earlyKick,
  attacks,
];
export const LEGACY: readonly Sequence[] = [
  identity,
  features,
  reads,
  config,
  legacy,
];
