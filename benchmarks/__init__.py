"""What the plugin costs, beside bare pytest and beside other plugins: ``python -m benchmarks`` measures and tells.

`workloads` and `systems` say what is run, `sections` what with what, `measuring`, `instructions` and `ledger` how it is
measured, `limits` what it may cost, and `tables` how that is shown. This package imports nothing of the plugin but in
`ledger`: what is measured is a wheel of it, in an environment of its own.
"""
