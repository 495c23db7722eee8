"""Smoothing: what documents alike score is evidence for each of them.

Documents that are alike tend to be relevant to the same queries (the cluster hypothesis; van Rijsbergen 1979). So a
high score that those most like a document share is to be trusted more than one that it has alone (regularised scores;
Diaz, CIKM 2005). Of the candidates with the highest evidence u, each one's is

    (1 − γ) u(d) + γ · Σ w(d, d′) u(d′) / Σ w(d, d′),    w(d, d′) = max(0, cos(d − μ, d′ − μ))⁴,    d′ ≠ d
"""

# γ, and how many of the best are compared; `python -m bench.blend` tries others.
SHARE = 0.3
COMPARED = 64
