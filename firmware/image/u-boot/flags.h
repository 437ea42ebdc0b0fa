/* Appended to the board's header. The variables that may be written and read back from the card: */
#define CONFIG_ENV_FLAGS_LIST_STATIC "BOOT_ORDER:sw,BOOT_A_LEFT:dw,BOOT_B_LEFT:dw,bootargs:sw,bootpart:sw,first:sw,blocks:sw,fdtcontroladdr:sw,stdin:sw,stdout:sw,stderr:sw"
/* The environment's card hangs on PCI: the bus is looked at before it is read. */
#define CONFIG_SYS_EARLY_PCI_INIT
