import json
import sys
import tempfile

import torch
from transformers import Trainer, TrainingArguments

from orchestune.integrations.transformers import OrchestuneCallback


class Line(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, labels=None):
        logits = self.layer(x)
        return {"loss": torch.nn.functional.mse_loss(logits, labels), "logits": logits}


torch.manual_seed(0)
data = [{"x": torch.tensor([i / 32]), "labels": torch.tensor([i / 16])} for i in range(32)]
with tempfile.TemporaryDirectory() as folder:
    arguments = TrainingArguments(
        folder,
        num_train_epochs=int(sys.argv[1]),
        eval_strategy="epoch",
        logging_strategy="epoch",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(Line(), arguments, train_dataset=data, eval_dataset=data, callbacks=[OrchestuneCallback()])
    trainer.train()
history = trainer.state.log_history
print(json.dumps({name: [entry[name] for entry in history if name in entry] for name in ("loss", "eval_loss")}))
