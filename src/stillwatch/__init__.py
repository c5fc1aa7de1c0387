"""Stillwatch finds adversarial distillation campaigns in LLM exchange logs.

Reading order is data order: ``ingest`` (or ``simulate``) writes the canonical ``tables``; ``signals`` turns
them into traits of accounts; ``linkage`` turns traits into groups; ``campaigns`` turns groups into campaigns
with members, exchanges and lineage; ``attribution`` weighs innocent explanations; ``cases`` writes what a
person reads. ``cli`` calls them in that order.
"""

__version__ = "0.1.0"
