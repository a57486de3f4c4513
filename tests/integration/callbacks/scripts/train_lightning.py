import json
import sys

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.utils.data import DataLoader, TensorDataset

from orchestune.integrations.lightning import OrchestuneCallback


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, _):
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch, _):
        self.log("val_loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class History(Callback):
    def __init__(self):
        self.values = {"train_loss": [], "val_loss": []}

    def on_train_epoch_end(self, trainer, module):
        for name, values in self.values.items():
            values.append(trainer.callback_metrics[name].item())


lightning.seed_everything(0, verbose=False)
x = torch.linspace(0, 1, 32).unsqueeze(1)
data = DataLoader(TensorDataset(x, 2 * x), batch_size=8)
history = History()
trainer = lightning.Trainer(
    max_epochs=int(sys.argv[1]),
    val_check_interval=float(sys.argv[2]) if len(sys.argv) > 2 else 1.0,
    callbacks=[OrchestuneCallback(), history],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
    accelerator="cpu",
)
trainer.fit(Line(), data, data)
print(json.dumps(history.values))
