# The nixmesh binary. The same sources give the same bytes as `make build`.
{
  lib,
  buildGoModule,
  go_1_26 ? null,
}:
(if go_1_26 == null then buildGoModule else buildGoModule.override { go = go_1_26; }) {
  pname = "nixmesh";
  version = "0.1.0";
  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.gitTracked ../.;
  };
  # NAR hash of `go mod vendor`; a test holds it to go.sum (internal/arch).
  vendorHash = "sha256-hfyGbp47BnvyCDN/js3cgo//rFAv9ZqjlTgRHuE+lvs=";
  subPackages = [ "cmd/nixmesh" ];
  env.CGO_ENABLED = 0;
  ldflags = [
    "-s"
    "-w"
  ];
  postInstall = ''
    ln -s nixmesh $out/bin/nixmesh-host
  '';
  # The tests want a lab: `make test`.
  doCheck = false;
  meta = {
    description = "Deploy fleets of NixOS machines whose hosts prove a new system or go back by themselves";
    license = lib.licenses.asl20;
    mainProgram = "nixmesh";
    platforms = lib.platforms.linux;
  };
}
