"""Other engines, given the same expression: one module each, with `build(exprs, threads)`.

`build` returns a function that computes the values of the expressions, one for each. It raises `NotExpressible` with
the operation that the engine has no words for, and ImportError where the engine is not installed.
"""
