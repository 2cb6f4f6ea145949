"""The demo: every lineage on one small cohort, told from beginning to end and checked against the truth."""
