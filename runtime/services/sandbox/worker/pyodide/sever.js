// The cut between WebAssembly and JavaScript. Every function that any module imports is wrapped once. While a job runs,
// those that are listed work; some answer that there is no such thing; all others end the job.
(() => {
  "use strict";
  const WORKING = new Set(`
    fd_close fd_read fd_write fd_seek fd_pread fd_pwrite fd_sync fd_fdstat_get
    __syscall_openat __syscall_fcntl64 __syscall_ioctl __syscall_faccessat __syscall_chdir __syscall_fchdir
    __syscall_chmod __syscall_fchmod __syscall_fchmodat2 __syscall_dup __syscall_dup3 __syscall_fdatasync
    __syscall_stat64 __syscall_fstat64 __syscall_lstat64 __syscall_newfstatat __syscall_statfs64 __syscall_fstatfs64
    __syscall_truncate64 __syscall_ftruncate64 __syscall_fallocate __syscall_fadvise64 __syscall_getcwd
    __syscall_getdents64 __syscall_mkdirat __syscall_rmdir __syscall_unlinkat __syscall_renameat __syscall_readlinkat
    __syscall_symlinkat __syscall_utimensat __syscall_poll _mmap_js _munmap_js _msync_js
    clock_time_get clock_res_get emscripten_get_now emscripten_date_now _tzset_js _localtime_js _gmtime_js _mktime_js
    _timegm_js environ_get environ_sizes_get random_get emscripten_get_heap_max _emscripten_get_progname
    _emscripten_runtime_keepalive_clear __call_sighandler _Py_CheckEmscriptenSignals_Helper _PyEM_TrampolineCall_JS
    _Py_emscripten_runtime
  `.trim().split(/\s+/));
  const NO_SUCH_CALL = -52, NO_ADDRESS = -4;
  const ANSWERS = new Map(Object.entries({
    can_run_sync_js: 0, getaddrinfo: NO_ADDRESS, getnameinfo: NO_ADDRESS, getprotobyname: 0, _emscripten_lookup_name: 0,
    _dlopen_js: 0, _emscripten_dlopen_js: 0, _dlsym_js: 0, _setitimer_js: 0, _emscripten_system: NO_SUCH_CALL,
    _try_fcntl64: 0, _try_shutdown: 0, _maybe_poll_async: null, _maybe_connect_async: null, _maybe_recvfrom_async: null,
    _maybe_sendto_async: null, __syscall_getuid32_js: 0, __syscall_umask_js: 0,
  }));
  const cut = globalThis.sandbox.cut = { armed: false, limit: Infinity };
  const wrapped = new Map();
  const isOfWasm = (value) => /^\d+$/.test(value.name) && /\[native code\]/.test(Function.prototype.toString.call(value));

  const wrap = (name, value) => {
    if (typeof value !== "function" || WORKING.has(name) || isOfWasm(value)) return value;
    if (wrapped.has(value)) return wrapped.get(value);
    const guard = name === "emscripten_resize_heap"
      ? (size) => (size >>> 0) > cut.limit ? 0 : value(size)
      : function (...given) {
        if (!cut.armed) return value.apply(this, given);
        if (ANSWERS.has(name)) return ANSWERS.get(name);
        if (name.startsWith("__syscall_")) return NO_SUCH_CALL;
        throw new WebAssembly.RuntimeError("the code reached for " + name + ", which is cut off");
      };
    Object.assign(guard, value);
    wrapped.set(value, guard).set(guard, guard);
    return guard;
  };
  const Real = WebAssembly.Instance;
  WebAssembly.Instance = function (module, imports) {
    for (const space of Object.keys(imports ?? {})) {
      if (space.startsWith("GOT.")) continue; // numbers, resolved from the functions below
      const names = WebAssembly.Module.imports(module).filter((one) => one.module === space && one.kind === "function");
      for (const { name } of names) imports[space][name] = wrap(name, imports[space][name]);
      if (space === "env") for (const name of Object.keys(imports.env)) imports.env[name] = wrap(name, imports.env[name]);
    }
    return new Real(module, imports);
  };
  WebAssembly.Instance.prototype = Real.prototype;
})();
