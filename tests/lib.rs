//! What the integration and kernel test binaries share.
