# A machine that only the lab has: it makes disks, loader and network.
{
  system.stateVersion = "26.05";
}
