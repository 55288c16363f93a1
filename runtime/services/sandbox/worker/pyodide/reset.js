// The baseline to which a booted Pyodide returns after each job: linear memory, stack pointer, files, descriptors,
// working directory. Its last expression is the function that the worker calls.
((py) => {
  "use strict";
  const { cut, reseed } = globalThis.sandbox, { gc } = globalThis;
  const module = py._module, FS = module.FS, MEMFS = FS.filesystems.MEMFS;
  const PAGE = 65536, NO_SPACE = 51, MOST_NODES = 4096;
  const TIDY_EVERY = 25, MUCH = 2 << 20; // jobs, and bytes of files, after which what jobs have left is collected

  // -- memory ---------------------------------------------------------------------------------------------------------
  const filled = () => { // the runs of pages that are not all zero
    const words = new Uint32Array(module.HEAPU8.buffer), runs = [];
    for (let page = 0; page < words.length; page += PAGE / 4) {
      let zero = true;
      for (let place = page; place < page + PAGE / 4 && zero; place++) zero = words[place] === 0;
      if (zero) continue;
      const from = page * 4, last = runs.at(-1);
      if (last?.to === from) last.to += PAGE;
      else runs.push({ from, to: from + PAGE });
    }
    return runs.map(({ from, to }) => ({ from, to, bytes: module.HEAPU8.slice(from, to) }));
  };
  const restoreMemory = () => {
    const heap = module.HEAPU8;
    let place = 0;
    for (const { from, to, bytes } of memory) {
      heap.fill(0, place, from);
      heap.set(bytes, from);
      place = to;
    }
    heap.fill(0, place);
  };
  const top = () => module.HEAPU32[module._emscripten_get_sbrk_ptr() >> 2];

  // -- files ----------------------------------------------------------------------------------------------------------
  const fieldsOf = ({ contents, ...fields }) => fields;
  const remembered = (node) => {
    const record = { node, fields: fieldsOf(node) };
    const { contents } = node;
    if (ArrayBuffer.isView(contents)) record.bytes = contents.slice();
    else if (FS.isDir(node.mode) && contents && typeof contents === "object") {
      record.entries = Object.keys(contents).map((name) => [name, remembered(contents[name])]);
    } else record.contents = contents;
    return record;
  };
  const restored = ({ node, fields, bytes, entries, contents }) => {
    for (const key of Object.keys(node)) if (key !== "contents" && !(key in fields)) delete node[key];
    Object.assign(node, fields);
    if (bytes) {
      if (node.contents?.length === bytes.length) node.contents.set(bytes);
      else node.contents = bytes.slice();
    } else if (entries) {
      node.contents = {};
      for (const [name, record] of entries) { node.contents[name] = record.node; restored(record); }
    } else node.contents = contents;
  };
  const stored = (node, seen) => { // bytes of files under a folder
    if (seen.has(node)) return 0;
    seen.add(node);
    if (ArrayBuffer.isView(node.contents)) return node.contents.length;
    if (!FS.isDir(node.mode) || !node.contents || node.mounted) return 0;
    return Object.values(node.contents).reduce((sum, child) => sum + stored(child, seen), 0);
  };
  const allFiles = () => {
    const seen = new Set();
    return FS.streams.reduce((sum, stream) => sum + (stream?.node ? stored(stream.node, seen) : 0), stored(FS.root, seen));
  };
  let fileBytes = 0, written = 0, quota = 0, nodes = 0;
  const { expandFileStorage } = MEMFS, { createNode } = FS;
  MEMFS.expandFileStorage = (node, capacity) => {
    const more = Math.max(capacity, (node.contents?.length ?? 0) * 1.125 >>> 0) - (node.contents?.length ?? 0);
    written += Math.max(0, more);
    if (cut.armed && more > 0 && (fileBytes += more) > quota) {
      fileBytes = allFiles() - baseFiles + more; // what has been deleted meanwhile counts no more
      if (fileBytes > quota) throw new FS.ErrnoError(NO_SPACE);
    }
    return expandFileStorage(node, capacity);
  };
  const { resizeFileStorage } = MEMFS;
  MEMFS.resizeFileStorage = (node, size) => {
    const more = size - (node.contents?.length ?? 0);
    written += Math.max(0, more);
    if (cut.armed && more > 0 && (fileBytes += more) > quota) throw new FS.ErrnoError(NO_SPACE);
    return resizeFileStorage(node, size);
  };
  const ofFiles = MEMFS.ops_table.file.stream, { write } = ofFiles;
  ofFiles.write = (stream, buffer, offset, length, position, canOwn) => {
    if (position === 0 && !stream.node.usedBytes) { // it is kept as it comes, without any of the above
      written += length;
      if (cut.armed && (fileBytes += length) > quota) {
        fileBytes = allFiles() - baseFiles + length;
        if (fileBytes > quota) throw new FS.ErrnoError(NO_SPACE);
      }
    }
    return write(stream, buffer, offset, length, position, canOwn);
  };
  FS.createNode = (...given) => {
    if (cut.armed && ++nodes > MOST_NODES) throw new FS.ErrnoError(NO_SPACE);
    return createNode(...given);
  };

  // -- console --------------------------------------------------------------------------------------------------------
  let lines = [], room = 0, clipped = false;
  const sink = (level) => ({
    isatty: false,
    write(bytes) {
      const taken = bytes.length > room ? bytes.slice(0, room) : bytes.slice();
      clipped ||= taken.length < bytes.length;
      room -= taken.length;
      const last = lines.at(-1);
      if (taken.length && last?.level === level && last.parts.length < 4096) last.parts.push(taken);
      else if (taken.length && lines.length < 4096) lines.push({ level, parts: [taken] });
      return bytes.length;
    },
  });
  const joined = (parts) => {
    const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
    let place = 0;
    for (const part of parts) { whole.set(part, place); place += part.length; }
    return new TextDecoder().decode(whole).toWellFormed();
  };
  const logs = () => {
    const entries = [];
    for (const { level, parts } of lines) {
      for (const text of joined(parts).replace(/\n$/, "").split("\n")) entries.push({ level, text });
    }
    return JSON.stringify(entries) + ',"cut":' + clipped;
  };

  // -- jobs -----------------------------------------------------------------------------------------------------------
  const JOB = "/tmp/.job", ANSWER = "/tmp/.answer";
  const command = module._malloc(32);
  module.stringToUTF8("__run__()\n", command, 32);
  const call = module._PyRun_SimpleString ?? ((text) => module._PyRun_SimpleStringFlags(text, 0));
  const run = (job, memoryLimit, output, seed) => {
    reseed(seed);
    room = output;
    quota = memoryLimit;
    cut.limit = baseTop + memoryLimit + PAGE;
    FS.writeFile(JOB, job);
    try {
      call(command);
    } catch (fault) {
      return '{"trap":' + JSON.stringify(String(fault?.message ?? fault?.name).slice(0, 300)) + ',"logs":' + logs() + "}";
    }
    let answer = '{"error":{"type":"NoAnswer","message":"the code broke the interpreter that runs it, or left no room for an answer"}}';
    try {
      const left = FS.lookupPath(ANSWER).node;
      if (FS.isFile(left.mode) && left.usedBytes) answer = FS.readFile(ANSWER, { encoding: "utf8" });
    } catch {}
    const size = Math.max(0, top() - baseTop) + Math.max(0, allFiles() - baseFiles);
    return '{"memory":' + size + "," + answer.slice(1, -1) + ',"logs":' + logs() + "}";
  };
  let jobs = 0;
  const reset = () => { // says whether there is more to collect than V8 does by itself
    restoreMemory();
    module.stackRestore(stack);
    restored(files);
    FS.streams = streams.slice();
    streams.forEach((stream, place) => { if (stream) { Object.assign(stream.shared, positions[place]); } });
    FS.nameTable = nameTable.slice();
    FS.nextInode = nextInode;
    FS.currentPath = currentPath;
    lines = [];
    clipped = false;
    if (++jobs % TIDY_EVERY === 0) gc({ type: "minor" });
    const much = written > MUCH;
    fileBytes = written = nodes = 0;
    return much ? "much" : "";
  };
  const digest = () => { // FNV-1a over the memory, and what of the rest can be written down
    const words = new Uint32Array(module.HEAPU8.buffer);
    let hash = 0x811c9dc5, end = words.length;
    while (end > 0 && words[end - 1] === 0) end--; // memory that was added and emptied again is no difference
    for (let place = 0; place < end; place++) hash = Math.imul(hash ^ words[place], 0x01000193);
    const listed = (node, path) => FS.isDir(node.mode) && node.contents && !node.mounted
      ? [path, node.mode, ...Object.entries(node.contents).flatMap(([name, child]) => listed(child, path + "/" + name))]
      : [path, node.mode, node.id, node.usedBytes ?? 0, ArrayBuffer.isView(node.contents) ? summed(node.contents) : String(node.link ?? "")];
    const summed = (bytes) => { let sum = 0x811c9dc5; for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193); return sum >>> 0; };
    return JSON.stringify([hash >>> 0, module.stackSave(), listed(FS.root, ""), FS.streams.map((stream) => stream?.position ?? null), FS.cwd(), FS.nextInode]);
  };

  py.setStdin({ stdin: () => undefined });
  py.setStdout(sink("stdout"));
  py.setStderr(sink("stderr"));
  reseed(new Array(8).fill(0));
  room = 0;
  call(command); // once without a job: what is made on first use belongs to the baseline
  for (const path of [JOB, ANSWER]) try { FS.unlink(path); } catch {}
  lines = [];
  clipped = false;
  const memory = filled(), stack = module.stackSave(), files = remembered(FS.root), baseTop = top(), baseFiles = allFiles();
  const streams = FS.streams.slice(), nameTable = FS.nameTable.slice(), { nextInode, currentPath } = FS;
  const positions = streams.map((stream) => ({ ...stream?.shared }));
  globalThis.sandbox.files.clear();
  py._api.config._loadSnapshot = undefined; // as much memory as the interpreter itself
  cut.armed = true;
  return function () {
    const word = this;
    if (word === "reset") return reset();
    if (word === "digest") return digest();
    if (word === "logs") return '{"logs":' + logs() + "}";
    const { memory: limit, output, seed } = JSON.parse(word.slice(0, word.indexOf("\n")));
    return run(word.slice(word.indexOf("\n") + 1), limit, output, seed);
  };
})(globalThis.py)
