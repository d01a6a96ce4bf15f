//! TaskManager registry and slot allocation. Pure.
