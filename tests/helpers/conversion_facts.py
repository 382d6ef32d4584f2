"""What `conversion.json` of a converted checkpoint holds."""

CONVERSION_FACTS = {
    "made_by": "langcell 0.1.0",
    "command": "langcell convert released OUT_DIR --text-tokenizer bert",
    "sources": {"ctm_head.bin": {"sha256": "c0ffee", "bytes": 2669}},
    "text_tokenizer": "bert",
    "has_gene_names": True,
    "vocabulary": {"fingerprint": "abcdef", "genes": 25424, "published_geneformer_v1": True},
    "tensors": {"converted": 141, "left_out": [], "added_cls": False},
    "remarks": [],
}
