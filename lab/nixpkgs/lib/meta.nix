lib: {
  # The main program of a package, as an absolute path.
  getExe = pkg: lib.getExe' pkg (pkg.meta.mainProgram or (lib.getName pkg));
  getExe' = pkg: program: "${lib.getBin pkg}/bin/${program}";
  addMetaAttrs = meta: pkg: pkg // { meta = (pkg.meta or { }) // meta; };
  lowPrio = pkg: pkg;
  hiPrio = pkg: pkg;
  licenses = {
    mit = { spdxId = "MIT"; };
    asl20 = { spdxId = "Apache-2.0"; };
  };
  platforms = rec {
    linux = [ "x86_64-linux" ];
    all = linux;
    unix = linux;
  };
  maintainers = { };
  systems = {
    flakeExposed = [ "x86_64-linux" ];
    elaborate = system: if builtins.isString system then { inherit system; } else system;
  };
  # Sources: the paths below `src` that `filter` lets in.
  cleanSource = src: src;
  cleanSourceWith =
    {
      src,
      filter ? (_: _: true),
      name ? "source",
    }:
    builtins.path { inherit name filter; path = src; };
}
