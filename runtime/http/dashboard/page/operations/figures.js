/* Numbers, as people read them. */

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 3 });
const UNITS = ["B", "kB", "MB", "GB", "TB"];
const SPANS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

const NONE = "–";

export function count(number) {
  return number === null || number === undefined ? NONE : whole.format(number);
}

/** A rate, or a dash where there is no measure yet. */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return NONE;
  if (perSecond === 0) return "0/s";
  return perSecond >= 0.1 ? `${short.format(perSecond)}/s` : `${short.format(perSecond * 60)}/min`;
}

export function bytes(number) {
  const unit = number < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(number * 1.0005) / 3));
  return `${short.format(number / 1000 ** unit)} ${UNITS[unit]}`;
}

/** A length of time in its two largest units. */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return NONE;
  if (seconds < 1) return `${whole.format(Math.round(seconds * 1000))} ms`;
  const [size, unit] = SPANS.find(([each]) => seconds >= each);
  const lesser = SPANS[SPANS.findIndex(([each]) => each === size) + 1];
  const rest = lesser ? Math.floor((seconds % size) / lesser[0]) : 0;
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${lesser[1]}` : ""}`;
}

export function percent(share) {
  return `${short.format(share * 100)} %`;
}

const NANO = 1_000_000_000n;

/** Exact dollars of the API, `"0.00125"`, in billionths. */
export function nano(dollars) {
  const [, minus, before, after = ""] = /^(-?)(\d+)(?:\.(\d{1,9})\d*)?$/.exec(dollars);
  const amount = BigInt(before) * NANO + BigInt(after.padEnd(9, "0"));
  return minus ? -amount : amount;
}

/** Billionths of a dollar, exact where it is little. */
export function money(amount) {
  const digits = amount !== 0n && amount < NANO / 100n ? 9 : amount < 100n * NANO ? 4 : 2;
  const options = { style: "currency", currency: "USD", minimumFractionDigits: 2, maximumFractionDigits: digits };
  return new Intl.NumberFormat(undefined, options).format(Number(amount) / 1e9);
}
