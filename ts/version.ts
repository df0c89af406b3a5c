/** The package's version, which reports and exports carry; package.json says the same. */
export const VERSION = "0.1.0";
