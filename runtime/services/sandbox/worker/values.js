// Values that JSON lacks, as an object with one key: {"$date": …}, {"$map": [[k, v]]}, {"$set": [v]}, {"$bytes": base64},
// {"$bigint": digits}, {"$number": "NaN"}. An object whose only key begins with "$" is wrapped as {"$object": {…}}.
//
// Compiled when a job first needs it, which may be after the job's code: it uses nothing but what it is given, as
// javascript.js took it.
((taken, Refused) => {
  "use strict";
  const {
    stringify, ownKeys, getPrototypeOf, apply, defineProperty, is, keysOf, ofObjects, isArray, text, number, wellFormed,
    getTime, toISOString, eachOfMap, mapHas, mapSet, eachOfSet, setHas, setAdd, isView, toBase64, fromBase64, bytesLength,
  } = taken;
  const DEEPEST = 100;

  let left = 0;
  const take = (size) => { if ((left -= size) < 0) throw new Refused("it is larger than the sandbox lets out"); };
  const works = (read, value, given) => { try { apply(read, value, given); return true; } catch { return false; } };
  const isBuffer = (value) => { try { new taken.DataView(value); return true; } catch { return false; } };

  const encoded = (value, depth) => {
    switch (typeof value) {
      case "string": take(value.length + 2); return stringify(wellFormed(value));
      case "number":
        take(8);
        if (value === value && value !== Infinity && value !== -Infinity) return is(value, -0) ? "-0.0" : text(value);
        return '{"$number":"' + text(value) + '"}';
      case "boolean": take(5); return value ? "true" : "false";
      case "bigint": {
        const digits = text(value);
        take(digits.length + 13);
        return '{"$bigint":"' + digits + '"}';
      }
      case "object": take(2); return value === null ? "null" : composed(value, depth);
      default: take(4); return "null"; // undefined, a function, a symbol: as in JSON
    }
  };
  const composed = (value, depth) => {
    if (depth >= DEEPEST) throw new Refused("it contains itself, or is nested more than " + DEEPEST + " deep");
    const kind = getPrototypeOf(value);
    return (kind !== ofObjects && kind !== null ? special(value, depth) : undefined) ?? plain(value, depth);
  };
  const special = (value, depth) => {
    if (isArray(value)) return list(value, depth);
    if (isView(value) || isBuffer(value)) return bytes(value);
    if (works(getTime, value, [])) return date(value);
    if (works(mapHas, value, [0])) return map(value, depth);
    if (works(setHas, value, [0])) return set(value, depth);
    return undefined;
  };
  const list = (value, depth) => {
    let out = "[";
    const length = value.length;
    for (let place = 0; place < length; place++) {
      if (place) { out += ","; take(1); }
      out += encoded(value[place], depth + 1);
    }
    return out + "]";
  };
  const date = (value) => {
    take(40);
    const moment = apply(getTime, value, []);
    return '{"$date":' + (moment === moment ? '"' + apply(toISOString, value, []) + '"' : "null") + "}";
  };
  const map = (value, depth) => {
    let out = "";
    apply(eachOfMap, value, [(item, key) => {
      take(3);
      out += (out && ",") + "[" + encoded(key, depth + 2) + "," + encoded(item, depth + 2) + "]";
    }]);
    return '{"$map":[' + out + "]}";
  };
  const set = (value, depth) => {
    let out = "";
    apply(eachOfSet, value, [(item) => {
      take(1);
      out += (out && ",") + encoded(item, depth + 1);
    }]);
    return '{"$set":[' + out + "]}";
  };
  const bytes = (value) => {
    const Bytes = taken.Uint8Array;
    const view = isView(value) ? new Bytes(value.buffer, value.byteOffset, value.byteLength) : new Bytes(value);
    take(apply(bytesLength, view, []) * 1.34 + 16);
    return '{"$bytes":"' + apply(toBase64, view, []) + '"}';
  };
  const plain = (value, depth) => {
    const convert = value.toJSON;
    if (typeof convert === "function") return encoded(apply(convert, value, [""]), depth + 1);
    if (typeof value === "function") return "null";
    const keys = keysOf(value);
    let out = "", count = 0, only = "";
    for (let place = 0; place < keys.length; place++) {
      const key = keys[place];
      const item = value[key];
      if (item === undefined || typeof item === "function" || typeof item === "symbol") continue;
      take(key.length + 4);
      out += (count++ ? "," : "") + stringify(wellFormed(key)) + ":" + encoded(item, depth + 1);
      only = key;
    }
    return count === 1 && only[0] === "$" ? '{"$object":{' + out + "}}" : "{" + out + "}";
  };

  const decoded = (value) => {
    if (typeof value !== "object" || value === null) return value;
    if (isArray(value)) {
      for (let place = 0; place < value.length; place++) value[place] = decoded(value[place]);
      return value;
    }
    const keys = ownKeys(value);
    const inner = keys.length === 1 ? value[keys[0]] : undefined;
    switch (keys.length === 1 && keys[0]) {
      case "$date": return new taken.Date(inner);
      case "$map": return mapOf(inner);
      case "$set": return setOf(inner);
      case "$bytes": return fromBase64(inner);
      case "$bigint": return taken.BigInt(inner);
      case "$number": return number(inner);
      case "$object": return entries(inner);
      default: return entries(value);
    }
  };
  const mapOf = (pairs) => {
    const map = new taken.Map();
    for (const [key, item] of pairs) apply(mapSet, map, [decoded(key), decoded(item)]);
    return map;
  };
  const setOf = (items) => {
    const set = new taken.Set();
    for (const item of items) apply(setAdd, set, [decoded(item)]);
    return set;
  };
  const entries = (value) => {
    for (const key of ownKeys(value)) {
      defineProperty(value, key, { value: decoded(value[key]), writable: true, enumerable: true, configurable: true });
    }
    return value;
  };

  return {
    encoded(value, limit) {
      const before = left; // a getter of the value may write to the console meanwhile
      left = limit;
      try {
        return encoded(value, 0);
      } finally {
        left = before;
      }
    },
    decoded,
  };
})
