"""Is a store what it says it is: status, damage, difference from another one."""
